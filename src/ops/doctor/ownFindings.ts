/** What `docket doctor` knows better than the bot that it asked: the file as it stands now, its mode, and what an administrator may know. */
import type { Asked, Facts, LimitOverride } from "./facts.ts";
import type { DoctorReport, Finding } from "./finding.ts";
import { judgeConfiguration, judgeFiles } from "./installationChecks.ts";
import { lookAtFiles } from "./lookAtDisk.ts";
import { limitVerdict, withFailure } from "./messageChecks.ts";

/** @returns findings that take the place of the bot's */
export function ownFindings(
  report: DoctorReport,
  own: {
    readonly configuration: Facts["configuration"];
    readonly configFile: string;
    readonly directoryPath: string;
    readonly limit: Asked<LimitOverride>;
  },
): readonly Finding[] {
  const { configuration, configFile, directoryPath, limit } = own;
  return [
    { check: "configuration", ...judgeConfiguration(configuration) },
    { check: "files", ...judgeFiles(lookAtFiles(directoryPath, configFile)) },
    ...report.findings.flatMap((finding): Finding[] => {
      if (finding.check !== "send_limit" || configuration.kind !== "good") return [];
      if (limit.kind === "known") return [{ check: finding.check, ...limitVerdict(limit.value, configuration.config) }];
      return limit.kind === "failed" ? [{ ...finding, ...withFailure(finding, limit.failure) }] : [];
    }),
  ];
}
