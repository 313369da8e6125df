import type { CheckReport, DiskUsage, Explanation, FailedEntry, RecoveryReport } from '../../../index.js';

/** What `recover` put right, in `--json`, with what its sweep could not delete; `docs/cli.md` promises this shape, and those below. */
export function recoveryDocument(report: RecoveryReport, unswept: readonly FailedEntry[]): RecoveryReport {
  return { ...report, failed: [...report.failed, ...unswept] };
}

/** What `check` found: as the library tells it. */
export function checkDocument(report: CheckReport): CheckReport {
  return report;
}

/** What `df` measured: as the library tells it. */
export function usageDocument(usage: DiskUsage): DiskUsage {
  return usage;
}

/** What `why` explains: as the library tells it. */
export function explanationDocument(explanation: Explanation): Explanation {
  return explanation;
}
