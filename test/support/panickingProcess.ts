/** Makes the crypto library panic for real, and ends as the bot does: exit code 71. Run by a test as a process of its own. */
import { RoomId } from "@matrix-org/matrix-sdk-crypto-wasm";
import { isCryptoPanic, Machine } from "../../src/crypto/machine.ts";

process.on("uncaughtException", (error) => process.exit(isCryptoPanic(error) ? 71 : 70));
const machine = await Machine.open({
  userId: "@bot:example.org",
  deviceId: "BOT",
  storeName: null,
  watchdogMs: 60_000,
  onFatal: () => process.exit(72),
});
// There is no session: the rule that roomEncryption.ts keeps is broken here on purpose.
await machine.use("encryptRoomEvent", (olm) => olm.encryptRoomEvent(new RoomId("!room:example.org"), "x.a", "{}"));
process.exit(0);
