/** A program that makes a container of a bundle, and how it is called. */
export interface OciRuntime {
  readonly name: RuntimeName;
  /** Absolute. */
  readonly program: string;
  /** Where it notes what it has made; not on the store's disk, since none of it outlives the machine's uptime. */
  readonly stateRoot: string;
  /** Mounts that it must not see, or it refuses to work. */
  readonly hide: readonly string[];
}

export const RUNTIME_NAMES = ['crun', 'runc'] as const;
export type RuntimeName = (typeof RUNTIME_NAMES)[number];

/** Before every verb. @param log where it says what went wrong, as lines of JSON */
const common = ({ name, stateRoot }: OciRuntime, log: string): string[] => [
  '--root',
  stateRoot,
  '--log',
  log,
  '--log-format',
  'json',
  ...(name === 'crun' ? ['--cgroup-manager', 'cgroupfs'] : []),
];

export interface RunFiles {
  readonly log: string;
  readonly bundle: string;
  /** Where it notes whom it has started. */
  readonly pidFile: string;
  /** The socket to which it brings the program's terminal, seen from the bundle; undefined for a program without one. */
  readonly consoleSocket?: string | undefined;
}

/** Makes a container of a bundle and starts its program; the program's parent is then the nearest subreaper. */
export function runArguments(runtime: OciRuntime, launchId: string, files: RunFiles): string[] {
  return [...common(runtime, files.log), 'run', '--detach', ...bundled(files), launchId];
}

/** The same up to the gate at which its program waits: see `openGate`. */
export function createArguments(runtime: OciRuntime, launchId: string, files: RunFiles): string[] {
  return [...common(runtime, files.log), 'create', ...bundled(files), launchId];
}

const bundled = ({ bundle, pidFile, consoleSocket }: RunFiles): string[] => [
  '--bundle',
  bundle,
  '--pid-file',
  pidFile,
  ...consoleAt(consoleSocket),
];

const consoleAt = (socket: string | undefined) => (socket === undefined ? [] : ['--console-socket', socket]);

export interface ExecFiles {
  readonly log: string;
  /** What to run, as `process` of a bundle. */
  readonly processFile: string;
  /** Where it notes whom it has started. */
  readonly pidFile: string;
  /** As of `RunFiles`, seen from where it is started. */
  readonly consoleSocket?: string | undefined;
}

export function execArguments(
  runtime: OciRuntime,
  launchId: string,
  { log, processFile, pidFile, consoleSocket }: ExecFiles,
): string[] {
  // One that has a terminal is left to whoever holds that: runc has it so.
  const held = consoleSocket === undefined ? [] : ['--detach', ...consoleAt(consoleSocket)];
  const where = ['--process', processFile, '--pid-file', pidFile, ...held];
  return [...common(runtime, log), 'exec', ...where, launchId];
}

/** Where it notes one container. */
export const stateOf = ({ stateRoot }: OciRuntime, launchId: string): string => `${stateRoot}/${launchId}`;
