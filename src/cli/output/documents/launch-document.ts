import type {
  ContainerEvent,
  ContainerProcess,
  ContainerRecovery,
  ContainerStats,
  Copied,
  Exit,
  Forked,
  Health,
  Launch,
  Lease,
  Leased,
  LogEntry,
  Reached,
} from '../../../containerizer/index.js';
import type { RecoveryReport } from '../../../index.js';
import { timestamp } from './image-document.js';

/** How a program ended, in `--json`; `docs/cli.md` promises this shape, and those below. What nobody knows is null. */
export function exitDocument({
  code,
  signal,
  reason,
  oomKills,
  peakMemory,
  cpuTime,
  startedAt,
  finishedAt,
}: Partial<Exit>) {
  return {
    code: code ?? null,
    signal: signal ?? null,
    reason,
    oomKills,
    peakMemory: peakMemory ?? null,
    cpuTime: cpuTime ?? null,
    started: startedAt === undefined ? null : timestamp(startedAt),
    finished: finishedAt === undefined ? null : timestamp(finishedAt),
  };
}

/** A container that `wait`, `stop` or `run` saw end. */
export function endedDocument(id: string, exit: Exit) {
  return { id, exit: exitDocument(exit) };
}

/** A container of `wait --condition`, as it was then. */
export function reachedDocument(id: string, { condition, launch: { exit, health } }: Reached) {
  return {
    id,
    condition,
    exit: exit === undefined ? null : exitDocument(exit),
    health: health === undefined ? null : healthDocument(health),
  };
}

/** What checks have found. */
export function healthDocument({ status, failingStreak, results }: Health) {
  return {
    status,
    failingStreak,
    results: results.map(({ startedAt, finishedAt, code, signal, reason, output }) => ({
      started: timestamp(startedAt),
      finished: timestamp(finishedAt),
      code: code ?? null,
      signal: signal ?? null,
      reason,
      output,
    })),
  };
}

/** A container that `run -d`, `create`, `start` or `restart` has started. */
export function launchedDocument({ containerId, launchId, pid }: Launch) {
  return { id: containerId, launch: launchId, pid: pid ?? null };
}

/** A container that `fork` has made. @param launched where it was started, too */
export function forkedDocument(id: string, { root, launch }: Forked, launched: Launch | undefined) {
  return {
    id,
    launch: (launched ?? launch)?.launchId ?? null,
    pid: launched?.pid ?? null,
    rootfs: root.rootfs,
    backend: root.backend,
    image: root.imageId,
  };
}

/** A piece of `logs`. */
export function logDocument({ timestamp: time, stream, bytes }: LogEntry) {
  return { time, stream, text: bytes.toString('utf8') };
}

/** What `cp` has copied. */
export function copiedDocument(id: string, { entries, bytes, leftOut }: Copied) {
  return { id, entries, bytes, leftOut: leftOut.map(({ path, what }) => ({ path, what })) };
}

/** A container of `stats`. */
export function statsDocument({ id, stats }: { readonly id: string; readonly stats: ContainerStats }) {
  return {
    id,
    memory: stats.memory ?? null,
    memoryLimit: stats.memoryLimit ?? null,
    peakMemory: stats.peakMemory ?? null,
    cpuTime: stats.cpuTime ?? null,
    throttledPeriods: stats.throttledPeriods ?? null,
    processes: stats.processes ?? null,
    processLimit: stats.processLimit ?? null,
    oomKills: stats.oomKills,
  };
}

/** What a container, or whoever has reserved it, has for himself: of `leases`. */
export function leaseDocument({ containerId, holder, since, ...leased }: Lease) {
  const isLaunch = containerId !== undefined;
  return {
    id: containerId ?? null,
    launch: isLaunch ? holder : null,
    reservedBy: isLaunch ? null : holder,
    ...leasedDocument(leased),
    since: timestamp(since),
  };
}

export const leasedDocument = ({ cpus, devices }: Leased) => ({ cpus: cpus ?? null, devices });

/** A process of `top`. Times are nanoseconds and milliseconds. */
export function processDocument(process: ContainerProcess) {
  const { pid, pidInside, uid, user, state, cpuTime, elapsed, name, command } = process;
  return { pid, pidInside: pidInside ?? null, uid, user: user ?? null, state, cpuTime, elapsed, name, command };
}

/** A line of `events`. */
export function eventDocument({ at, kind, containerId, launchId, owner, imageName, labels, details }: ContainerEvent) {
  return {
    time: timestamp(at),
    event: kind,
    id: containerId,
    launch: launchId ?? null,
    owner,
    image: imageName ?? null,
    labels,
    details: kind === 'exit' ? exitDocument(details as Partial<Exit>) : details,
  };
}

/** A container that something was done to. */
export function touchedDocument(id: string) {
  return { id };
}

/** What a `recover` put right, of launches too. @param recovered undefined where nothing was launched */
export function recoveredDocument(report: RecoveryReport, recovered: ContainerRecovery | undefined) {
  const { running = [], ended = [], lost = [], undone = [], removed = [], swept = [] } = recovered ?? {};
  return { ...report, launches: { running, ended, lost, undone, removed, swept } };
}
