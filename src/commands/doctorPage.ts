/** The doctor's report as a page of text: the worst first, lines of 96 columns, commands unbroken so that they can be copied. Pure. */
import { findingStates, type DoctorReport, type Finding, type FindingState } from "../ops/doctor/finding.ts";
import { printable } from "../protocol/printable.ts";

const WIDTH = 96;
const MARGIN = 2;
/** Of a finding that is about many things. The JSON has them all. */
const MOST_DETAILS = 5;

const HEADINGS: Readonly<Record<FindingState, string>> = {
  wrong: "WRONG",
  warning: "WARNING",
  unknown: "UNKNOWN",
  ok: "OK",
  off: "OFF",
};

export function doctorPage(report: DoctorReport): string {
  const { findings } = report;
  const nameWidth = Math.max(...findings.map(({ check }) => check.length));
  const lines = heading(report);
  for (const state of findingStates) {
    const alike = findings.filter((finding) => finding.state === state);
    if (alike.length === 0) continue;
    lines.push("", HEADINGS[state]);
    for (const group of groupedBySentence(alike)) lines.push(...told(group, nameWidth));
  }
  // Room IDs and device names come from strangers.
  return `${lines.map((line) => printable(line.trimEnd())).join("\n")}\n`;
}

function heading({ findings, at, by, docket, homeserver, user, device }: DoctorReport): string[] {
  const count = (state: FindingState): number => findings.filter((finding) => finding.state === state).length;
  const [wrong, warnings] = [count("wrong"), count("warning")];
  const warned = `${warnings} ${warnings === 1 ? "warning" : "warnings"}`;
  const outcome =
    wrong === 0
      ? warnings === 0
        ? "All is well."
        : `Nothing is wrong; ${warned}.`
      : `${wrong} ${wrong === 1 ? "thing is" : "things are"} wrong${warnings === 0 ? "" : `; ${warned}`}.`;
  const who = user === null ? [] : [`${user}${device === null ? "" : `, device ${device}`}, on ${homeserver ?? ""}`];
  const looked = by === "bot" ? "the running bot looked" : "docket doctor looked without a bot";
  return [outcome, ...who, `Docket ${docket}, ${new Date(at).toISOString()}: ${looked}`];
}

/** What has one cause is told once. */
function groupedBySentence(findings: readonly Finding[]): readonly (readonly [Finding, ...Finding[]])[] {
  const groups = new Map<string, [Finding, ...Finding[]]>();
  for (const finding of findings) {
    const key = finding.state === "unknown" && finding.details.length === 0 ? finding.found : finding.check;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [finding]);
    else group.push(finding);
  }
  return [...groups.values()];
}

function told(group: readonly [Finding, ...Finding[]], nameWidth: number): string[] {
  const [{ check, found, advice, command, details }] = group;
  const column = MARGIN + nameWidth + 2;
  if (group.length > 1) {
    const names = wrapped(group.map((finding) => finding.check).join(", "), MARGIN);
    return [...names, ...wrapped(found, column)];
  }
  const [first = "", ...rest] = wrapped(found, column);
  const lines = [`${" ".repeat(MARGIN)}${check.padEnd(nameWidth)}  ${first.trimStart()}`, ...rest];
  for (const detail of details.slice(0, MOST_DETAILS))
    lines.push(...wrapped(`- ${detail.about}: ${detail.found}`, column, 2));
  if (details.length > MOST_DETAILS)
    lines.push(...wrapped(`- and ${details.length - MOST_DETAILS} more; --json has them all`, column));
  if (advice !== null) lines.push(...wrapped(`> ${advice}`, column, 2));
  if (command !== null) lines.push(...command.split("\n").map((line) => `${" ".repeat(column + 2)}${line}`));
  return lines;
}

/** @param hanging by how much further lines are moved in */
function wrapped(text: string, indent: number, hanging = 0): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/).filter((part) => part !== "")) {
    const room = WIDTH - indent - (lines.length === 0 ? 0 : hanging);
    if (line !== "" && line.length + 1 + word.length > room) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  if (line !== "") lines.push(line);
  return lines.map((part, place) => `${" ".repeat(indent + (place === 0 ? 0 : hanging))}${part}`);
}
