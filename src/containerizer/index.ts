// Runs containers: launches programs in root filesystems of the store, and watches, limits, stops and recovers them. What is not exported here may change at any time.

export type {
  Attachment,
  AttachOptions,
  Containerizer,
  ContainerRecovery,
  ContainerStats,
  ControlOptions,
  CreateOptions,
  DestroyContainerOptions,
  ExecOptions,
  Execution,
  ExecutionEnd,
  ForkContainerOptions,
  Forked,
  Launch,
  LaunchCondition,
  Launched,
  LaunchOptions,
  LaunchState,
  Lease,
  LetGoOptions,
  LogLimit,
  Reached,
  ReadyContainers,
  ReadyState,
  RecoverContainersOptions,
  SpecOptions,
  StartOptions,
  StopOptions,
  WaitOptions,
} from './containerizer.js';
export type { ContainerEvent, ContainerEventKind, EventSelection } from './events/container-event.js';
export type {
  ArchiveOptions,
  ContainerFiles,
  Copied,
  CopyOptions,
  ExportOptions,
  ExtractOptions,
  FileContent,
  FileInfo,
  FileKind,
  LeftOut,
  MkdirOptions,
  OwnerChoice,
  ReadRange,
  RemoveOptions,
  StatOptions,
  WriteOptions,
} from './files/container-files.js';
export type { HealthAction, HealthSpec } from './health/health-settings.js';
export type { Health, HealthResult, HealthStatus } from './health/health-state.js';
export type { DiskLimit, Leased } from './isolators/isolator.js';
export type {
  DeviceSpec,
  IoLimit,
  LaunchLimits,
  LaunchSpec,
  LeaseSpec,
  MountSpec,
  TerminalSize,
} from './launch-spec.js';
export { type Exit, type ExitReason, exitStatus } from './launches/kept/exit.js';
export { hasLaunches } from './launches/kept/launch-directories.js';
export type { LaunchNetwork } from './launches/kept/launch-notes.js';
export { launchOf } from './launches/launch-of.js';
export type { LogEntry } from './logs/log-entry.js';
export type { LogSelection } from './logs/read-log.js';
export type { ContainerNetworks, NetworkInfo, NetworkMember } from './networks/container-networks.js';
export type { PortMapping, PortSpec } from './networks/network.js';
export type { NewNetwork } from './networks/own-networks.js';
export { type ContainerizerOptions, openContainerizer } from './open-containerizer.js';
export { CREATE_OPTIONS } from './options.js';
export type { ContainerProcess } from './processes/container-processes.js';
export { destroyWarm, type WarmPlaces } from './ready/destroy-warm.js';
export { type PoolRecord, poolRecords, WARM_POOL } from './ready/pool-records.js';
export {
  forgetHoldBacks,
  forgetWarm,
  isToHoldBack,
  isWaiting,
  poolName,
  takeWarm,
  takeWarmOfDead,
  WARM,
  type WarmNote,
  type WarmRecord,
  warmContainers,
} from './ready/warm-records.js';
export type { RuntimeName } from './runtime/oci-runtime.js';
export { type RuntimeHere, runtimesHere } from './runtime/runtimes-here.js';
export type { OpenTerminal } from './terminals/terminal.js';
