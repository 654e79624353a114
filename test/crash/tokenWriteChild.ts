/**
 * A preload for the bot's process: it is killed when it writes new tokens, before or after their commit, as DOCKET_TEST_KILL says. The
 * first request with them goes out only after that.
 */
import { Credentials } from "../../src/journal/credentials.ts";

const when = process.env["DOCKET_TEST_KILL"];
const write = Reflect.get(Credentials.prototype, "write") as Credentials["write"];

Credentials.prototype.write = function (this: Credentials, device): void {
  if (when === "after") write.call(this, device);
  process.kill(process.pid, "SIGKILL");
  // The signal may take a moment, in which nothing more may happen.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
};
