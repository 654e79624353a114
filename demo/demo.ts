/** `npm run demo`: arguments, output, signals and the exit code; the demo itself is in demoRun.ts. */
import { DemoRun } from "./demoRun.ts";
import { EXIT } from "./demoFailure.ts";
import { type DemoOptions, PASSWORDS, readDemoOptions, USAGE } from "./demoOptions.ts";
import { Table } from "./table.ts";

async function main(): Promise<number> {
  let options: DemoOptions;
  try {
    options = readDemoOptions(process.argv.slice(2), process.env);
  } catch (error) {
    process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    return EXIT.usage;
  }
  if (options.help) {
    process.stdout.write(USAGE);
    return EXIT.asExpected;
  }
  // No process that is started from here on inherits them.
  for (const name of Object.values(PASSWORDS)) delete process.env[name];
  const noColor = (process.env["NO_COLOR"] ?? "") !== "";
  const table = new Table(process.stdout, { json: options.json, noColor });
  const run = new DemoRun(options, table);
  // Nothing can be awaited any more when this fires; in the usual case all children have ended by then.
  process.on("exit", () => run.killChildren());
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => run.interrupt());
  // Whoever reads the table has left (`npm run demo | head`).
  process.stdout.on("error", () => run.interrupt());
  return await run.run();
}

process.exitCode = await main();
