//! What a host is: systemd, packages, power, disks, images.

use anyhow::Result;
use muster_lab::{Boot, Lab};

use crate::skip;

#[test]
fn a_host_boots_systemd_with_a_name_and_an_address_of_its_own() -> Result<()> {
    let lab = Lab::new()?;
    let web = lab.host("web").hostname("web-1.example.com").up()?;
    assert_eq!(web.booted(1)?, Boot::Running, "{}", web.failed_units()?);
    assert_eq!(web.read_file("/proc/1/comm")?, "systemd\n");
    assert_eq!(web.run(["hostname"])?, "web-1.example.com\n");
    let addresses = web.run(["ip", "-4", "-oneline", "address", "show", "dev", "eth0"])?;
    assert!(addresses.contains(&format!("{}/24", web.address())), "{addresses}");
    // Its own user database, processes and uptime.
    web.run(["useradd", "--create-home", "walter"])?;
    assert!(!std::fs::read_to_string("/etc/passwd")?.contains("walter"));
    assert!(!web.run(["ps", "ax"])?.contains("muster-lab"));
    let uptime: f64 = web.run(["cut", "-d", " ", "-f1", "/proc/uptime"])?.trim().parse()?;
    assert!(uptime < 600.0, "{uptime}");
    // Two ways in.
    let output = web.exec(["sh", "-c", "echo out; echo err >&2; exit 7"])?;
    assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (7, "out\n", "err\n"));
    assert_eq!(web.ssh("root", "id -un")?.stdout, "root\n");
    lab.destroy()
}

#[test]
fn packages_come_from_the_archives_and_what_was_prepared_is_kept() -> Result<()> {
    let lab = Lab::new()?;
    let script = "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes hello";
    let with_hello = lab.prepared(script)?;
    let hosts = lab.up_all(vec![lab.host("one").image(&with_hello), lab.host("two")])?;
    assert_eq!(hosts[0].run(["hello"])?, "Hello, world!\n");
    assert!(hosts[1].run(["hello"]).is_err(), "a host without the image has no such package");
    // Real installation, besides the one that may have been kept since the last run.
    hosts[1].sh(script)?;
    assert_eq!(
        hosts[1].run(["dpkg-query", "--show", "--showformat=${db:Status-Status}", "hello"])?,
        "installed"
    );
    lab.destroy()
}

#[test]
fn what_is_on_disk_outlives_a_reboot_and_a_power_cut_and_what_is_in_the_kernel_does_not() -> Result<()> {
    let lab = Lab::new()?;
    let web = lab.host("web").up()?;
    let unit = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n";
    web.write_file("/etc/systemd/system/sleeper.service", unit.as_bytes())?;
    web.run(["systemctl", "enable", "--now", "sleeper"])?;
    let (boot_id, lines) = ("/proc/sys/kernel/random/boot_id", "cat /etc/kept");
    let mut ids = vec![web.read_file(boot_id)?];
    for round in ["reboot", "power cut", "clean stop"] {
        web.sh(&format!("echo '{round}' >> /etc/kept && nft add table inet unsaved"))?;
        match round {
            "reboot" => drop(web.reboot()?),
            "power cut" => web.pull_plug()?,
            _ => web.stop()?,
        }
        if !web.running()? {
            assert!(web.exec(["true"]).is_err(), "nothing runs on a host without power");
            web.start()?;
        }
        assert_eq!(web.run(["systemctl", "is-active", "sleeper"])?, "active\n", "after {round}");
        assert!(!web.run(["nft", "list", "tables"])?.contains("unsaved"), "after {round}");
        ids.push(web.read_file(boot_id)?);
    }
    assert_eq!(web.sh(lines)?, "reboot\npower cut\nclean stop\n");
    assert_eq!(web.boots()?, 4);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4, "each boot has an id of its own");
    lab.destroy()
}

#[test]
fn a_small_disk_can_be_full() -> Result<()> {
    let lab = Lab::new()?;
    let web = lab.host("web").disk("300M").up()?;
    let full = web.exec(["dd", "if=/dev/zero", "of=/var/big", "bs=1M", "count=400"])?;
    assert_ne!(full.code, 0);
    assert!(full.stderr.contains("No space left on device"), "{}", full.stderr);
    web.run(["rm", "/var/big"])?;
    web.write_file("/var/small", b"fits")?;
    lab.destroy()
}

#[test]
fn a_saved_host_is_where_others_begin() -> Result<()> {
    let lab = Lab::new()?;
    let first = lab.host("first").up()?;
    first.write_file("/etc/golden", b"yes")?;
    assert!(first.save("golden").is_err(), "a host that runs is not saved");
    first.stop()?;
    let golden = first.save("golden")?;
    let second = lab.host("second").image(&golden).up()?;
    assert_eq!(second.read_file("/etc/golden")?, "yes");
    // What has to differ between hosts does.
    first.start()?;
    for own in ["/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key.pub", "/etc/hostname"] {
        assert_ne!(first.read_file(own)?, second.read_file(own)?, "{own}");
    }
    // Neither writes into the other.
    second.write_file("/etc/golden", b"no")?;
    assert_eq!(first.read_file("/etc/golden")?, "yes");
    lab.destroy()
}

#[test]
fn a_folder_of_the_machine_is_seen_inside_and_an_immutable_file_does_not_keep_a_host() -> Result<()> {
    let shared = std::env::temp_dir().join(format!("muster-lab-bind-{}", std::process::id()));
    std::fs::create_dir_all(&shared)?;
    let lab = Lab::new()?;
    let web = lab.host("web").bind(&shared, "/srv/shared").up()?;
    web.write_file("/srv/shared/from-inside", b"hello")?;
    assert_eq!(std::fs::read(shared.join("from-inside"))?, b"hello");
    web.sh("echo kept > /etc/immutable && chattr +i /etc/immutable")?;
    assert!(web.run(["rm", "/etc/immutable"]).is_err(), "it is immutable");
    web.down()?;
    assert!(!web.root().exists());
    assert!(shared.join("from-inside").exists(), "what is bound in is not removed with the host");
    std::fs::remove_dir_all(&shared)?;
    lab.destroy()
}

#[test]
fn limits_of_units_are_enforced_in_a_host_with_cgroup_v1() -> Result<()> {
    if let Some(reason) = muster_lab::v1_unavailable() {
        skip(&reason);
        return Ok(());
    }
    let lab = Lab::new()?;
    let web = lab.host("web").v1().up()?;
    let eater = "set -o pipefail; head --bytes 200M /dev/zero | tail --bytes 200M | wc --bytes";
    let run = ["systemd-run", "--quiet", "--wait", "--property=MemoryMax=64M", "bash", "-c", eater];
    assert_ne!(web.exec(run)?.code, 0, "more memory than the unit may have");
    let enough = ["systemd-run", "--quiet", "--wait", "--property=MemoryMax=1G", "bash", "-c", eater];
    assert_eq!(web.exec(enough)?.code, 0);
    lab.destroy()
}
