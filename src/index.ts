// The public surface. What is not exported here may change at any time.

export type { BackendName } from './backends/backend.js';
export type { BackendChoice, BackendReport } from './backends/backends.js';
export type { MemoryUse } from './backends/memory-place.js';
export type { Get, Service } from './base/assembly.js';
export type { ErrorEntry, RetryCondition, WarningEntry } from './base/codes/code-table.js';
export type { ErrorCode, WarningCode } from './base/codes/code-tables.js';
export type { CounterEntry } from './base/codes/counter-table.js';
export type { CounterName, Counters } from './base/codes/counter-tables.js';
export type { PullLimits, UnpackLimits } from './base/config.js';
export { type ErrorDetails, isProvisionerError, ProvisionerError } from './base/errors.js';
export type { FailedEntry } from './base/failed-entry.js';
export type { DiskUsage, Share } from './check/disk-usage.js';
export type { CheckReport, Finding, FindingCode, RepairOutcome } from './check/findings.js';
export type { RenewedLayers } from './check/renew-layers.js';
export { isRetryable } from './code-lists.js';
export type { ContainerInfo, RootfsInfo } from './containers/container-info.js';
export type { DestroyOptions, ForkOptions, RecoverOptions } from './containers/container-options.js';
export type { ForkedRootfs } from './containers/forks.js';
export type { ContainerHolder } from './containers/holders.js';
export type { RecoveryReport } from './containers/recovery.js';
export type { LayerProgress, ProvisionerEmitter, ProvisionerEvents } from './events.js';
export type { LayerAspect, LayerDifference } from './files/contents/differences.js';
export type { Digest, ImageId, LayerId } from './image/digest.js';
export type { Healthcheck } from './image/healthcheck.js';
export type { RuntimeConfig } from './image/image-config.js';
export type { MountState } from './layer-store/rootfs-mounts.js';
export type { PostponedEntry } from './layer-store/sweeper.js';
export type {
  ContainerRecord,
  HeldBy,
  HoldingChange,
  HoldingKey,
  HoldingRecord,
  HoldingsWanted,
  ImageRecord,
  ImageSummary,
  LaunchChange,
  LaunchEvent,
  LaunchNote,
  LaunchRecord,
  LaunchRemoval,
  LaunchState,
  NewLaunchEvent,
  RootfsKey,
  RootfsRecord,
  TakenHoldings,
  TarState,
  WantedHolding,
} from './metadata/metadata-manager.js';
export { defaultRoot } from './paths.js';
export type { ContainerCalls } from './provisioner/calls/container-calls.js';
export type { HoldingCalls, NewHolder } from './provisioner/calls/holding-calls.js';
export type { ImageCalls, ImageDetails, PulledAgain } from './provisioner/calls/image-calls.js';
export type { LaunchCalls, NewOwnLaunch, RecordedLaunch } from './provisioner/calls/launch-calls.js';
export type { StoreCalls } from './provisioner/calls/store-calls.js';
export type { VolumeCalls, VolumeInfo } from './provisioner/calls/volume-calls.js';
export type { LayerDetails } from './provisioner/layer-details.js';
export type {
  ApplyPlanOptions,
  CheckOptions,
  CloseOptions,
  ContainersOptions,
  DiskUsageOptions,
  FollowLaunchEventsOptions,
  LaunchEventsOptions,
  LaunchesOptions,
  LayerTarOptions,
  ProvisionerOptions,
  ProvisionOptions,
  PullAgainOptions,
  PutLaunchOptions,
  RemoveVolumeOptions,
  TurnOptions,
  VolumesOptions,
} from './provisioner/options.js';
export { type ProvisionedRootfs, Provisioner } from './provisioner/provisioner.js';
export type { StoreInfo } from './provisioner/store-info.js';
export type { JudgedImage, JudgedLayer, PrunePolicy } from './prune/decide.js';
export type { Keep, Keeper, KeepReason, StoreRecords } from './prune/keepers.js';
export type { PrunePlan } from './prune/plan.js';
export type { PruneOptions } from './prune/prune-options.js';
export type { PruneReport } from './prune/pruner.js';
export type { ExplainedReason, Explanation } from './prune/why.js';
export type { Availability, LayerUnderWay, PullUnderWay } from './pulls/availability.js';
export type { ImageRequestOptions, LoadOptions, PullImageOptions, PullPolicy } from './pulls/pull-options.js';
export { LoadIncompleteError, type PulledImage } from './pulls/stored-images.js';
export type { RegistryOptions, UserCredentials } from './registry/registry-options.js';
export type { LoggedIn } from './remote/log-in.js';
export type { LoggedOut } from './remote/log-out.js';
export type { RemoteImage, RemoteLayer } from './remote/look-at-image.js';
export { inspectRemote, listTags, loggedInAs, login, logout, logoutAll } from './remote/remote-calls.js';
export type {
  InspectRemoteOptions,
  ListTagsOptions,
  LoginFileOptions,
  LoginOptions,
  LoginRegistryOptions,
  RemoteWarning,
} from './remote/remote-options.js';
export type { RepositoryTags } from './remote/tags-of.js';
export type { Degradation } from './store-directory/fidelity.js';
export type { MountPlace } from './system/locks/mount-place.js';
export type { LockWriter, StoreLockState } from './system/locks/store-lock-state.js';
export type { VolumeWish } from './volumes/volumes.js';
