// Listens to the live messages of a controller beside the page, and compares each with the API's document.
import { liveMismatches } from "./contract.mjs";

/** `stop` answers what was wrong; that nothing came at all is wrong too. */
export async function follow(context, url) {
  const cookie = (await context.cookies()).map(({ name, value }) => `${name}=${value}`).join("; ");
  const stopping = new AbortController();
  const answer = await fetch(new URL("/api/v1/live", url), { headers: { cookie }, signal: stopping.signal });
  if (!answer.ok) throw new Error(`GET /api/v1/live answers ${answer.status}`);
  const wrong = [];
  let count = 0;
  const reading = (async () => {
    let text = "";
    for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      const blocks = text.split("\n\n");
      text = blocks.pop();
      for (const line of blocks.flatMap((block) => block.split("\n")).filter((line) => line.startsWith("data:"))) {
        count += 1;
        wrong.push(...liveMismatches(JSON.parse(line.slice("data:".length))));
      }
    }
  })().catch((error) => {
    if (error.name !== "AbortError") wrong.push(`GET /api/v1/live: ${error.message}`);
  });
  return {
    stop: async () => {
      stopping.abort();
      await reading;
      return count === 0 ? [...wrong, "GET /api/v1/live: no message came"] : wrong;
    },
  };
}
