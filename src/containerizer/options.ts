import {
  abortSignal,
  flag,
  listOf,
  milliseconds,
  type OptionTable,
  oneOf,
  optionsOf,
  type Rule,
  text,
  textOf,
  whole,
} from '../base/options/check-options.js';
import type {
  AttachOptions,
  ControlOptions,
  CreateOptions,
  DestroyContainerOptions,
  ExecOptions,
  ForkContainerOptions,
  LaunchOptions,
  LetGoOptions,
  LogLimit,
  RecoverContainersOptions,
  SpecOptions,
  StartOptions,
  StopOptions,
  WaitOptions,
} from './containerizer.js';
import type { EventSelection } from './events/container-event.js';
import { HEALTH_ACTIONS, type HealthSpec } from './health/health-settings.js';
import { LAUNCH_CONDITIONS } from './health/wait-until.js';
import type {
  DeviceSpec,
  IoLimit,
  LaunchLimits,
  LaunchSpec,
  LeaseSpec,
  MountSpec,
  TerminalSize,
} from './launch-spec.js';
import type { LogSelection } from './logs/read-log.js';
import { type PortSpec, PROTOCOLS } from './networks/network.js';

/* Each table says what of its options can be at all; what goes together is looked at where it is used. */

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const textsByName: Rule = {
  meant: 'an object whose values are texts',
  holds: (value) => isRecord(value) && Object.values(value).every((one) => typeof one === 'string'),
  each: text,
};
const ulimits: Rule = {
  meant: 'an object whose values have a soft and a hard limit, whole numbers',
  holds: (value) =>
    isRecord(value) &&
    Object.values(value).every(
      (one) => isRecord(one) && Number.isInteger(one['soft']) && Number.isInteger(one['hard']),
    ),
};
/** What each means, and what it may be, is told where the machine is known. */
const number: Rule = { meant: 'a number', holds: (value) => typeof value === 'number', shown: true };
const signal: Rule = {
  meant: 'the name or the number of a signal',
  holds: (value) => typeof value === 'string' || typeof value === 'number',
  shown: true,
};
const date: Rule = { meant: 'a Date', holds: (value) => value instanceof Date && !Number.isNaN(value.getTime()) };
const standardInput = oneOf('none', 'pipe');

const IO_LIMIT = optionsOf<IoLimit>(
  { device: text, readBps: number, writeBps: number, readIops: number, writeIops: number },
  'device',
);

const LIMIT_TABLE: OptionTable<LaunchLimits> = {
  memoryBytes: number,
  memorySwapBytes: number,
  cpus: number,
  cpuset: text,
  pids: number,
  diskBytes: number,
  diskOn: oneOf('disk', 'memory'),
  io: {
    ...listOf(IO_LIMIT),
    meant: 'a list of limits, each with a device',
    holds: (value) => Array.isArray(value) && value.every((one) => isOf(IO_LIMIT, one)),
  },
};
export const LIMITS = optionsOf(LIMIT_TABLE);

const MOUNT = optionsOf<MountSpec>(
  {
    type: oneOf('bind', 'tmpfs', 'volume'),
    source: text,
    target: text,
    readOnly: flag,
    sizeBytes: whole(1, Number.MAX_SAFE_INTEGER),
    mode: whole(0, 0o7777),
    exec: flag,
  },
  'type',
  'target',
);
const mounts: Rule = {
  ...listOf(MOUNT),
  meant: 'a list of mounts, each with a type (`bind`, `tmpfs` or `volume`) and a target',
  holds: (value) => Array.isArray(value) && value.every((one) => isOf(MOUNT, one)),
};

const DEVICE = optionsOf<DeviceSpec>({ source: text, target: text, access: text }, 'source');
const devices: Rule = {
  ...listOf(DEVICE),
  meant: 'a list of devices, each with a source',
  holds: (value) => Array.isArray(value) && value.every((one) => isOf(DEVICE, one)),
};

const howMany = whole(1, 8192);
const leases = optionsOf<LeaseSpec>({
  cpus: {
    meant: 'a whole number from 1 to 8192, or a list such as `0-2,7`',
    holds: (value) => howMany.holds(value) || typeof value === 'string',
    shown: true,
  },
  devices: listOf(text),
  deviceClasses: {
    meant: 'an object whose values are whole numbers from 1 to 8192',
    holds: (value) => isRecord(value) && Object.values(value).every(howMany.holds),
    each: howMany,
  },
});

const characters = whole(1, 65_535);
const portNumber = whole(1, 65_535);
const PORT = optionsOf<PortSpec>(
  { containerPort: portNumber, hostPort: portNumber, hostAddress: text, protocol: oneOf(...PROTOCOLS) },
  'containerPort',
);
const ports: Rule = {
  ...listOf(PORT),
  meant: 'a list of ports, each with a containerPort',
  holds: (value) => Array.isArray(value) && value.every((one) => isOf(PORT, one)),
};
export const TERMINAL_SIZE = optionsOf<TerminalSize>({ rows: characters, columns: characters }, 'rows', 'columns');

const LAUNCH_SPEC: OptionTable<LaunchSpec> = {
  command: listOf(text),
  entrypoint: listOf(text),
  env: textsByName,
  workingDir: text,
  user: text,
  hostname: text,
  mounts,
  secrets: textsByName,
  readOnly: flag,
  limits: LIMITS,
  addCapabilities: listOf(text),
  dropCapabilities: listOf(text),
  noNewPrivileges: flag,
  seccomp: text,
  network: text,
  ports,
  address: text,
  networkAliases: listOf(text),
  ulimits,
  addHosts: textsByName,
  dns: listOf(text),
  init: { meant: 'true, false or `idle`', holds: (value) => flag.holds(value) || value === 'idle', shown: true },
  stopSignal: text,
  terminal: TERMINAL_SIZE,
  labels: textsByName,
  devices,
  cdiDevices: listOf(text),
  leases,
};

const healthTime = whole(1, 2 ** 31 - 1);
const HEALTH = optionsOf<HealthSpec>({
  command: listOf(text),
  interval: healthTime,
  timeout: healthTime,
  startPeriod: whole(0, 2 ** 31 - 1),
  startInterval: healthTime,
  retries: whole(1, 1_000_000),
  onFailure: oneOf(...HEALTH_ACTIONS),
});

export const SPEC_OPTIONS: OptionTable<SpecOptions> = {
  ...LAUNCH_SPEC,
  // They are checked where they are used, as options of `provision`.
  provision: { meant: 'an object with options of provision', holds: isRecord },
  signal: abortSignal,
};

export const CREATE_OPTIONS: OptionTable<CreateOptions> = {
  ...SPEC_OPTIONS,
  remove: flag,
  timeout: milliseconds(Number.MAX_SAFE_INTEGER),
  health: { ...HEALTH, meant: `false, or ${HEALTH.meant}`, holds: (value) => value === false || isRecord(value) },
  log: optionsOf<LogLimit>({ maxBytes: whole(0, Number.MAX_SAFE_INTEGER), whenFull: oneOf('rotate', 'end') }),
};

const ATTACHING = { stdin: standardInput, attach: flag };
export const LAUNCH_OPTIONS: OptionTable<LaunchOptions> = { ...CREATE_OPTIONS, ...ATTACHING };

export const LET_GO_OPTIONS: OptionTable<LetGoOptions> = { attach: flag };
export const WAIT_OPTIONS: OptionTable<WaitOptions> = { signal: abortSignal };
const condition = oneOf(...LAUNCH_CONDITIONS);
/** An argument of `waitUntil`. */
export const CONDITIONS: Rule = {
  ...listOf(condition),
  meant: `${condition.meant}, or a list of them`,
  holds: (value) => Array.isArray(value) && value.length > 0 && value.every(condition.holds),
};
export const CONTROL_OPTIONS: OptionTable<ControlOptions> = { anyOwner: flag };
export const START_OPTIONS: OptionTable<StartOptions> = {
  ...CONTROL_OPTIONS,
  ...ATTACHING,
  size: TERMINAL_SIZE,
  signal: abortSignal,
};
export const FORK_CONTAINER_OPTIONS: OptionTable<ForkContainerOptions> = {
  ...CONTROL_OPTIONS,
  pause: flag,
  requireLaunch: flag,
  command: listOf(text),
  signal: abortSignal,
};
export const STOP_OPTIONS: OptionTable<StopOptions> = { ...CONTROL_OPTIONS, signal, grace: milliseconds() };
export const DESTROY_CONTAINER_OPTIONS: OptionTable<DestroyContainerOptions> = {
  ...CONTROL_OPTIONS,
  running: oneOf('refuse', 'kill'),
};
export const RECOVER_CONTAINERS_OPTIONS: OptionTable<RecoverContainersOptions> = { knownContainerIds: listOf(text) };
export const EXEC_OPTIONS: OptionTable<ExecOptions> = {
  ...CONTROL_OPTIONS,
  env: textsByName,
  user: textOf(1, 255),
  workingDir: text,
  stdin: standardInput,
  terminal: TERMINAL_SIZE,
  timeout: milliseconds(),
  signal: abortSignal,
};
export const ATTACH_OPTIONS: OptionTable<AttachOptions> = {
  ...CONTROL_OPTIONS,
  size: TERMINAL_SIZE,
  signal: abortSignal,
};
export const LOG_SELECTION: OptionTable<LogSelection> = {
  follow: flag,
  since: date,
  tail: whole(0, Number.MAX_SAFE_INTEGER),
  signal: abortSignal,
};

export const EVENT_SELECTION: OptionTable<EventSelection> = {
  since: date,
  until: date,
  follow: flag,
  signal: abortSignal,
};

/** Of a part of a list, which says of its parts only whether they hold. */
function isOf({ table, required = [] }: typeof MOUNT, value: unknown): boolean {
  return (
    isRecord(value) &&
    Object.entries(value).every(([name, part]) => part === undefined || table?.[name]?.holds(part) === true) &&
    required.every((name) => value[name] !== undefined)
  );
}
