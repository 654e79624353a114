/** `docket record` beside a bot that runs. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { writeConfig } from "../../support/botProcess.ts";
import { startConversation } from "../../support/conversation.ts";
import { docket } from "../../support/docketCommand.ts";
import { temporaryDirectory } from "../../support/temporaryDirectory.ts";

test("the record is read while the bot runs: listed, by room, limited, as JSON, and one event whole", async (t) => {
  const { alice, room, directory } = await startConversation(t);
  const [first, second] = [await room({ encrypted: true }), await room()];
  const ask = async (roomId: string, words: string, type = "org.example.report"): Promise<string> => {
    const eventId = await alice.send(roomId, type, {
      "m.request.status": { from_device: alice.deviceId, lifetime: 60_000 },
      words,
    });
    await alice.waitForResponse(eventId);
    return eventId;
  };
  const secret = await ask(first, "in the encrypted room");
  const plain = await ask(second, "in the plain room");
  await ask(second, "of a type that would colour a terminal", "org.example.\u001b[31m\u009b\u202e");
  const config = ["--config", join(directory, "config.yaml")];

  const list = await docket("record", "list", ...config);
  assert.equal(list.code, 0, list.stderr);
  const line = list.stdout.split("\n").find((candidate) => candidate.includes(secret));
  assert.match(line ?? "", /^\d+ {2}\S+ {2}\S+ {2}@alice:localhost {2}org\.example\.report {2}\$/);
  assert(list.stdout.includes("org.example.\ufffd[31m\ufffd\ufffd"), "nothing steers the terminal");

  const json = await docket("record", "list", "--room", second, "--json", ...config);
  const entries = json.stdout
    .trim()
    .split("\n")
    .map((text) => JSON.parse(text) as { original: { room_id: string; event_id: string } });
  assert(entries.every(({ original }) => original.room_id === second));
  assert(entries.some(({ original }) => original.event_id === plain));
  assert(json.stdout.includes("org.example.\\u001b[31m\\u009b\\u202e"), "nor from JSON, which reads back the same");
  const two = await docket("record", "list", "--limit", "2", ...config);
  assert.equal(two.stdout.trim().split("\n").length, 2);

  const shown = await docket("record", "show", secret, ...config);
  const entry = JSON.parse(shown.stdout) as { original: { type: string }; clear: { content: { words: string } } };
  assert.deepEqual([entry.original.type, entry.clear.content.words], ["m.room.encrypted", "in the encrypted room"]);
});

test("an event that the record does not have is said with exit code 1, and a record that is not there with 73", async (t) => {
  const { directory } = await startConversation(t);
  const missing = await docket("record", "show", "$nothing", "--config", join(directory, "config.yaml"));
  assert.deepEqual([missing.code, missing.stdout], [1, ""]);
  assert.match(missing.stderr, /no event \$nothing/);
  const elsewhere = writeConfig({
    homeserver: "http://127.0.0.1:1",
    userId: "@a:b",
    accessToken: "x",
    directory: temporaryDirectory(t),
  });
  const none = await docket("record", "list", "--config", elsewhere);
  assert.equal(none.code, 73);
  assert.match(none.stderr, /holds no Docket database yet/);
});
