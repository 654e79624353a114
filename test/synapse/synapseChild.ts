/** A process that has a Synapse: prints its process ID, and stays. With the argument `paused` the Synapse stands still by then. */
import { startSynapse } from "./synapse.ts";

const server = await startSynapse();
if (process.argv.includes("paused")) server.pause();
process.stdout.write(`${server.pid}\n`);
setInterval(() => undefined, 60_000);
