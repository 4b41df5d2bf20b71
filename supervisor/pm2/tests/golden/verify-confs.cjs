// Writes verify-confs.json: what pm2's own validation makes of these applications. With pm2 7.0.3 from npm beside it:
//   node verify-confs.cjs > verify-confs.json
'use strict';
const Common = require('pm2/lib/Common.js');
Common.printOut = () => {};
const S = { script: 'app.js' };
const cases=[
 {...S},{},{script:5},{exec:'x.js'},{cmd:'run me.js'},{command:'y.js'},{script:'npm start now'},
 {...S,instances:'max'},{...S,instances:'4'},{...S,instances:'2abc'},{...S,instances:'four'},{...S,instances:0},{...S,instances:-1},{...S,instances:-2},{...S,instances:true},{...S,instances:[2]},{...S,instances:2.7},{...S,instances:null},
 {...S,exec_mode:'cluster'},{...S,exec_mode:'fork_mode'},{...S,exec_mode:'both'},{...S,execMode:'cluster'},{...S,execute_command:true,exec_mode:'cluster'},
 {...S,max_memory_restart:'300M'},{...S,max_memory_restart:'1G'},{...S,max_memory_restart:'5K'},{...S,max_memory_restart:'300m'},{...S,max_memory_restart:'1.5G'},{...S,max_memory_restart:1000},{...S,max_memory_restart:'1000'},{...S,max_memory_restart:'G'},{...S,maxMemoryRestart:'2G'},{...S,max_memory_restart:['1G']},
 {...S,min_uptime:'5s'},{...S,min_uptime:'2m'},{...S,min_uptime:'1h'},{...S,min_uptime:50},{...S,min_uptime:0},{...S,min_uptime:'50'},{...S,min_uptime:'5 s'},{...S,min_uptime:'5d'},{...S,minUptime:200},
 {...S,max_restarts:0},{...S,max_restarts:-1},{...S,max_restarts:'10'},{...S,maxRestarts:0},{...S,max_restarts:'ten'},
 {...S,kill_timeout:'5s'},{...S,kill_timeout:'5000'},{...S,kill_timeout:0},{...S,kill_timeout:''},{...S,kill_timeout:' '},{...S,kill_retry_time:0},{...S,kill_retry_time:50},
 {...S,args:'a b "c d" --x="1 2" \'e f\''},{...S,args:['a',1]},{...S,args:{}},{...S,args:5},{...S,args:''},{...S,args:"it's"},{...S,node_args:'--inspect --max-old-space-size=4096'},{...S,interpreter_args:'--harmony'},{...S,interpreterArgs:['-r','x']},{...S,nodeArgs:'--a'},{...S,interpreter_args:'--a',interpreterArgs:'--b',nodeArgs:'--c'},
 {...S,stop_exit_codes:[0]},{...S,stop_exit_codes:[3]},{...S,stop_exit_codes:[]},{...S,stop_exit_codes:[1,2]},{...S,stop_exit_codes:3},{...S,stop_exit_codes:'3'},{...S,stop_exit_codes:0},{...S,stop_exit_codes:'1,2'},
 {...S,watch:true},{...S,watch:'src lib'},{...S,watch:['src']},{...S,watch:1},{...S,ignore_watch:'node_modules \\.git'},{...S,ignoreWatch:['x']},{...S,watch_delay:'1000'},{...S,watch_options:[]},{...S,watch_options:{usePolling:true}},
 {...S,filter_env:true},{...S,filter_env:'X'},{...S,filter_env:['S']},{...S,filter_env:1},
 {...S,autorestart:false},{...S,autorestart:'false'},{...S,treekill:false},{...S,source_map_support:false},{...S,wait_ready:false},{...S,waitReady:true},{...S,merge_logs:false},{...S,combine_logs:true},{...S,merge_logs:true,instances:2},{...S,merge_logs:false,instances:2},{...S,exec_mode:'cluster',instances:0},
 {...S,out:'a'},{...S,output:'b'},{...S,out_log:'c'},{...S,out:'a',output:'b',out_log:'c',outFile:'d'},{...S,out_file:'z',out:'a'},{...S,error:'e'},{...S,err:'f',err_file:'g',err_log:'h'},{...S,log:true},{...S,log:'c.log'},{...S,log_file:false},{...S,pid:'p'},{...S,cron:'0 0 * * *'},{...S,cron_restart:'0'},{...S,cron_restart:0},{...S,cron_restart:'nonsense'},{...S,cron_restart:'*/3 * * * * *'},{...S,cron_restart:5},
 {...S,interpreter:'python3'},{...S,exec_interpreter:'none',interpreter:'x'},{...S,interpreter:['x']},{...S,time:true},{...S,time:'yes'},{...S,log_date_format:'YYYY'},{...S,time:true,log_date_format:'YYYY'},{...S,log_type:'json'},
 {...S,env:'A=1'},{...S,env:[]},{...S,env:{A:1}},{...S,env_production:{A:2}},{...S,env_production:'A=1'},{...S,env_production:5},{...S,env_production:null},{...S,env_production:''},{...S,env_:{A:1}},
 {...S,port:'3000'},{...S,port:'http'},{...S,port:3000},{...S,name:5},{...S,name:''},{...S,namespace:'x',name_prefix:'p'},{...S,pmx:false},{...S,pmx:'x'},{...S,automation:false},{...S,disable_trace:true,trace:true},{...S,instance_var:''},{...S,instance_var:'N'},{...S,instanceVar:'M'},{...S,increment_var:'PORT'},{...S,post_update:['a']},{...S,post_update:'a'},{...S,io:{}},{...S,unknown_key:1},{...S,vizion:false},{...S,windowsHide:false},{...S,autostart:false},{...S,restart_delay:'3000'},{...S,restart_delay:'3s'},{...S,exp_backoff_restart_delay:100},{...S,expBackoffRestartDelay:100},{...S,listen_timeout:'1e3'},{...S,listen_timeout:'0x10'},{...S,cwd:5},{...S,disable_logs:'x'},{...S,v8:true,event_loop_inspector:true,deep_monitoring:false},
];
const plain = (key, value) => (Number.isNaN(value) ? 'NaN' : value);
const lines = cases.map((input) => {
  let verified;
  try {
    verified = Common.verifyConfs([JSON.parse(JSON.stringify(input))]);
  } catch (error) {
    verified = new Error('threw: ' + error.message.split('\n')[0]);
  }
  if (verified instanceof Error) return JSON.stringify({ input, error: verified.message });
  const config = { ...verified[0] };
  delete config.username;
  return JSON.stringify({ input, config }, plain);
});
process.stdout.write('[\n  ' + lines.join(',\n  ') + '\n]\n');
