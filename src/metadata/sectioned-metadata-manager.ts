import type { Digest, ImageId, LayerId } from '../image/digest.js';
import type { MountPlace } from '../system/locks/mount-place.js';
import type { ProcessIdentity } from '../system/locks/process-identity.js';
import type {
  ContainerRecord,
  ForkedRootfsRecord,
  FoundPulls,
  HeldBy,
  HoldingChange,
  HoldingKey,
  HoldingRecord,
  HoldingRecords,
  HoldingsWanted,
  HoldingTaker,
  ImageRecord,
  ImageRecords,
  ImageSummary,
  IndexChoice,
  LaunchChange,
  LaunchEvent,
  LaunchEventsWanted,
  LaunchesWanted,
  LaunchRecord,
  LaunchRecords,
  LayerChange,
  LayerClaim,
  LayerRecord,
  LayerRecords,
  LeaseRecord,
  LeaseRecords,
  MetadataManager,
  Naming,
  NewImage,
  NewLaunch,
  NewLaunchEvent,
  NewPull,
  NewRootfs,
  NewVolume,
  PullAnnouncement,
  PullKey,
  PullRecord,
  PullRecords,
  PullReport,
  PullResult,
  PutLaunch,
  RecordCounts,
  RecordsGap,
  RecordsState,
  Removal,
  Removals,
  Removed,
  RootfsKey,
  RootfsRecords,
  RootfsSummary,
  TakenHoldings,
  UnendedLaunch,
  UsedVolumes,
  VolumeClaim,
  VolumeRecord,
  VolumeRecords,
  VolumeRemovalClaim,
  VolumeState,
  WantedHolding,
  WantedVolume,
} from './metadata-manager.js';

/** What a metadata manager is the sum of. */
export interface MetadataSections {
  readonly images: ImageRecords;
  readonly layers: LayerRecords;
  readonly rootfses: RootfsRecords;
  readonly launches: LaunchRecords;
  readonly holdings: HoldingRecords;
  readonly volumes: VolumeRecords;
  readonly leases: LeaseRecords;
  readonly pulls: PullRecords;
  readonly removals: Removals;
  readonly state: RecordsState;
}

type IsAlive = (process: ProcessIdentity) => boolean;

/**
 * Hands each call to its section, and the section's promise back as it is: a provision asks a handful of questions in a third of a millisecond, so
 * nothing is made and nothing is waited for on the way.
 */
export abstract class SectionedMetadataManager implements MetadataManager {
  readonly #images: ImageRecords;
  readonly #layers: LayerRecords;
  readonly #rootfses: RootfsRecords;
  readonly #launches: LaunchRecords;
  readonly #holdings: HoldingRecords;
  readonly #volumes: VolumeRecords;
  readonly #leases: LeaseRecords;
  readonly #pulls: PullRecords;
  readonly #removals: Removals;
  readonly #state: RecordsState;

  protected constructor(sections: MetadataSections) {
    this.#images = sections.images;
    this.#layers = sections.layers;
    this.#rootfses = sections.rootfses;
    this.#launches = sections.launches;
    this.#holdings = sections.holdings;
    this.#volumes = sections.volumes;
    this.#leases = sections.leases;
    this.#pulls = sections.pulls;
    this.#removals = sections.removals;
    this.#state = sections.state;
  }

  abstract close(): Promise<void>;

  putImage(image: NewImage, names: readonly string[], choice?: IndexChoice, naming?: Naming): Promise<ImageRecord> {
    return this.#images.putImage(image, names, choice, naming);
  }

  getImage(id: ImageId): Promise<ImageRecord | undefined> {
    return this.#images.getImage(id);
  }

  getImageByName(name: string): Promise<ImageRecord | undefined> {
    return this.#images.getImageByName(name);
  }

  getStack(image: ImageId): Promise<LayerRecord[]> {
    return this.#images.getStack(image);
  }

  findImages(hexPrefix: string, limit: number): Promise<ImageId[]> {
    return this.#images.findImages(hexPrefix, limit);
  }

  listImages(): Promise<ImageSummary[]> {
    return this.#images.listImages();
  }

  addName(name: string, id: ImageId, naming?: Naming): Promise<void> {
    return this.#images.addName(name, id, naming);
  }

  markUsed(id: ImageId): Promise<void> {
    return this.#images.markUsed(id);
  }

  setPinned(id: ImageId, pinned: boolean): Promise<void> {
    return this.#images.setPinned(id, pinned);
  }

  removeName(name: string): Promise<boolean> {
    return this.#images.removeName(name);
  }

  removeNames(id: ImageId): Promise<string[]> {
    return this.#images.removeNames(id);
  }

  imageOfIndex(index: Digest, platform: string): Promise<ImageRecord | undefined> {
    return this.#images.imageOfIndex(index, platform);
  }

  imageBeside(id: ImageId, platform: string): Promise<ImageRecord | undefined> {
    return this.#images.imageBeside(id, platform);
  }

  imagesOfIndex(index: Digest): Promise<ImageId[]> {
    return this.#images.imagesOfIndex(index);
  }

  getLayer(id: LayerId): Promise<LayerRecord | undefined> {
    return this.#layers.getLayer(id);
  }

  missingLayers(ids: readonly LayerId[]): Promise<LayerId[]> {
    return this.#layers.missingLayers(ids);
  }

  putLayers(layers: readonly LayerRecord[]): Promise<void> {
    return this.#layers.putLayers(layers);
  }

  listLayers(): Promise<LayerRecord[]> {
    return this.#layers.listLayers();
  }

  changeLayer(id: LayerId, change: LayerChange): Promise<void> {
    return this.#layers.changeLayer(id, change);
  }

  claimLayer(id: LayerId, process: ProcessIdentity, isAlive: IsAlive): Promise<LayerClaim> {
    return this.#layers.claimLayer(id, process, isAlive);
  }

  releaseLayerClaims(process: ProcessIdentity, ids?: readonly LayerId[]): Promise<void> {
    return this.#layers.releaseLayerClaims(process, ids);
  }

  dropDeadClaims(isAlive: IsAlive): Promise<void> {
    return this.#layers.dropDeadClaims(isAlive);
  }

  putRootfs(rootfs: NewRootfs, maker?: ProcessIdentity): Promise<void> {
    return this.#rootfses.putRootfs(rootfs, maker);
  }

  containerOwner(containerId: string): Promise<string | undefined> {
    return this.#rootfses.containerOwner(containerId);
  }

  setRootfsMounts(rootfses: readonly RootfsKey[], mount: MountPlace): Promise<void> {
    return this.#rootfses.setRootfsMounts(rootfses, mount);
  }

  forkRootfs(source: RootfsKey, rootfs: ForkedRootfsRecord, maker: ProcessIdentity): Promise<boolean> {
    return this.#rootfses.forkRootfs(source, rootfs, maker);
  }

  finishRootfs(rootfs: RootfsKey): Promise<void> {
    return this.#rootfses.finishRootfs(rootfs);
  }

  rootfsesIn(containerId: string): Promise<RootfsSummary[]> {
    return this.#rootfses.rootfsesIn(containerId);
  }

  forgetRootfses(rootfses: readonly RootfsKey[]): Promise<number> {
    return this.#rootfses.forgetRootfses(rootfses);
  }

  getContainer(containerId: string): Promise<ContainerRecord | undefined> {
    return this.#rootfses.getContainer(containerId);
  }

  listContainers(owner?: string): Promise<ContainerRecord[]> {
    return this.#rootfses.listContainers(owner);
  }

  putLaunch(launch: NewLaunch): Promise<PutLaunch> {
    return this.#launches.putLaunch(launch);
  }

  changeLaunch(id: string, change: LaunchChange): Promise<boolean> {
    return this.#launches.changeLaunch(id, change);
  }

  getLaunch(containerId: string): Promise<LaunchRecord | undefined> {
    return this.#launches.getLaunch(containerId);
  }

  listLaunches(wanted?: LaunchesWanted): Promise<LaunchRecord[]> {
    return this.#launches.listLaunches(wanted);
  }

  unendedLaunches(containerId: string): Promise<UnendedLaunch[]> {
    return this.#launches.unendedLaunches(containerId);
  }

  forgetLaunches(containerId: string, id?: string): Promise<boolean> {
    return this.#launches.forgetLaunches(containerId, id);
  }

  noteLaunchEvent(event: NewLaunchEvent): Promise<void> {
    return this.#launches.noteLaunchEvent(event);
  }

  launchEvents(wanted: LaunchEventsWanted): Promise<LaunchEvent[]> {
    return this.#launches.launchEvents(wanted);
  }

  newestLaunchEvent(): Promise<number> {
    return this.#launches.newestLaunchEvent();
  }

  takeHoldings(taker: HoldingTaker, wanted: readonly WantedHolding[]): Promise<TakenHoldings> {
    return this.#holdings.takeHoldings(taker, wanted);
  }

  changeHolding(holding: HoldingKey, change: HoldingChange): Promise<boolean> {
    return this.#holdings.changeHolding(holding, change);
  }

  releaseHoldings(holdings: readonly HeldBy[]): Promise<void> {
    return this.#holdings.releaseHoldings(holdings);
  }

  listHoldings(wanted?: HoldingsWanted): Promise<HoldingRecord[]> {
    return this.#holdings.listHoldings(wanted);
  }

  putVolume(volume: NewVolume): Promise<VolumeRecord> {
    return this.#volumes.putVolume(volume);
  }

  useVolumes(user: RootfsKey, wanted: readonly WantedVolume[]): Promise<UsedVolumes> {
    return this.#volumes.useVolumes(user, wanted);
  }

  claimVolume(name: string, process: ProcessIdentity, isAlive: IsAlive): Promise<VolumeClaim> {
    return this.#volumes.claimVolume(name, process, isAlive);
  }

  settleVolume(name: string, process: ProcessIdentity): Promise<boolean> {
    return this.#volumes.settleVolume(name, process);
  }

  releaseVolume(name: string, process: ProcessIdentity, state: VolumeState): Promise<void> {
    return this.#volumes.releaseVolume(name, process, state);
  }

  beginVolumeRemoval(...removal: Parameters<VolumeRecords['beginVolumeRemoval']>): Promise<VolumeRemovalClaim> {
    return this.#volumes.beginVolumeRemoval(...removal);
  }

  forgetVolume(name: string, process: ProcessIdentity): Promise<void> {
    return this.#volumes.forgetVolume(name, process);
  }

  getVolume(name: string): Promise<VolumeRecord | undefined> {
    return this.#volumes.getVolume(name);
  }

  listVolumes(): Promise<VolumeRecord[]> {
    return this.#volumes.listVolumes();
  }

  openLease(pull: string, process: ProcessIdentity): Promise<void> {
    return this.#leases.openLease(pull, process);
  }

  leaseLayers(pull: string, layers: readonly LayerId[]): Promise<void> {
    return this.#leases.leaseLayers(pull, layers);
  }

  closeLeases(pulls: readonly string[]): Promise<void> {
    return this.#leases.closeLeases(pulls);
  }

  listLeases(): Promise<LeaseRecord[]> {
    return this.#leases.listLeases();
  }

  announcePull(pull: NewPull, isAlive: IsAlive): Promise<PullAnnouncement> {
    return this.#pulls.announcePull(pull, isAlive);
  }

  reportPull(pull: string, report: PullReport): Promise<void> {
    return this.#pulls.reportPull(pull, report);
  }

  finishPull(pull: string, result: PullResult, at?: number): Promise<void> {
    return this.#pulls.finishPull(pull, result, at);
  }

  findPulls(image: Pick<PullKey, 'source' | 'platform'>): Promise<FoundPulls> {
    return this.#pulls.findPulls(image);
  }

  listPulls(): Promise<PullRecord[]> {
    return this.#pulls.listPulls();
  }

  prepareRemoval(removal: Removal): Promise<void> {
    return this.#removals.prepareRemoval(removal);
  }

  removeUnused(removal: Removal, process: ProcessIdentity, exactly: boolean): Promise<Removed> {
    return this.#removals.removeUnused(removal, process, exactly);
  }

  dropUnusedStacks(): Promise<void> {
    return this.#removals.dropUnusedStacks();
  }

  forgetLayers(ids: readonly LayerId[]): Promise<ImageId[]> {
    return this.#removals.forgetLayers(ids);
  }

  recordsGap(): Promise<RecordsGap | undefined> {
    return this.#state.recordsGap();
  }

  setRecordsGap(gap: RecordsGap | undefined): Promise<void> {
    return this.#state.setRecordsGap(gap);
  }

  requireInPlace(): void {
    this.#state.requireInPlace();
  }

  count(): Promise<RecordCounts> {
    return this.#state.count();
  }

  verify(): Promise<string[]> {
    return this.#state.verify();
  }
}
