/** `docket identity show`: the same page from the running bot and without one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startDevServer } from "../../../devserver/server.ts";
import { BotProcess, writeConfig } from "../../support/botProcess.ts";
import { docket } from "../../support/docketCommand.ts";
import { temporaryDirectory } from "../../support/temporaryDirectory.ts";

test("the running bot and its stopped data directory show the same device, with its fingerprint in groups of four", async (t) => {
  const server = await startDevServer();
  t.after(() => server.stop());
  const options = { homeserver: server.url, ...server.createAccount("docket"), directory: temporaryDirectory(t) };
  const config = writeConfig(options);
  const bot = new BotProcess(options);
  t.after(() => bot.kill());
  await bot.running();
  const running = await docket("identity", "show", "--config", config);
  assert.deepEqual([running.code, running.stderr], [0, ""]);
  assert.match(
    running.stdout,
    /^account +@docket:localhost\ndevice +\S+\nfingerprint +([A-Za-z0-9+/]{4} ){10}[A-Za-z0-9+/]{3}$/m,
  );
  assert.equal(await bot.stop(), 0);
  const alone = await docket("identity", "show", "--config", config);
  assert.deepEqual(alone, running);
  const json = await docket("identity", "show", "--json", "--config", config);
  assert.equal((JSON.parse(json.stdout) as { userId: string }).userId, "@docket:localhost");
});
