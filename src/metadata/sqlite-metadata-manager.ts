import type { Digest, ImageId, LayerId } from '../image/digest.js';
import type { ProcessIdentity } from '../locks/process-identity.js';
import type {
  Claim,
  ContainerRecord,
  ImageRecord,
  LayerClaim,
  LayerRecord,
  MetadataManager,
  NewImage,
  NewRootfs,
  RootfsRecord,
} from './metadata-manager.js';
import { SqliteConnection } from './sqlite-connection.js';
import * as containers from './sqlite-containers.js';
import * as images from './sqlite-images.js';
import * as layers from './sqlite-layers.js';
import { verifyDatabase } from './sqlite-verify.js';

export interface SqliteMetadataManagerOptions {
  /** How long a call waits for other processes that are writing, in milliseconds. Default: 10 000. */
  readonly busyTimeout?: number;
}

/** The store's records in one SQLite database, shared by all processes that have the store open. */
export class SqliteMetadataManager implements MetadataManager {
  readonly #db: SqliteConnection;

  private constructor(db: SqliteConnection) {
    this.#db = db;
  }

  /**
   * Opens the database at `path`; makes it when it is not there, and brings one of an older release up to date.
   * @throws ProvisionerError `ERR_STORE_FORMAT` when a newer release or another program wrote it, `ERR_STORE_DAMAGED` when it is no
   *   database, `ERR_STORE_BUSY`, `ERR_NATIVE_MISSING`, `ERR_PERMISSION`, `ERR_NO_SPACE` or `ERR_IO`
   */
  static async open(path: string, options: SqliteMetadataManagerOptions = {}): Promise<SqliteMetadataManager> {
    return new SqliteMetadataManager(await SqliteConnection.open(path, options.busyTimeout));
  }

  async putImage(image: NewImage, names: readonly string[]): Promise<void> {
    return this.#db.write(() => images.putImage(this.#db, image, names, Date.now()));
  }

  async getImage(id: ImageId): Promise<ImageRecord | undefined> {
    return this.#db.read(() => images.getImage(this.#db, id));
  }

  async getImageByName(name: string): Promise<ImageRecord | undefined> {
    return this.#db.read(() => images.getImageByName(this.#db, name));
  }

  async findImages(hexPrefix: string, limit: number): Promise<ImageId[]> {
    return this.#db.read(() => images.findImages(this.#db, hexPrefix, limit));
  }

  async listImages(): Promise<ImageRecord[]> {
    return this.#db.read(() => images.listImages(this.#db));
  }

  async addName(name: string, id: ImageId): Promise<void> {
    return this.#db.write(() => images.addName(this.#db, name, id));
  }

  async removeName(name: string): Promise<boolean> {
    return this.#db.write(() => images.removeName(this.#db, name));
  }

  async removeNames(id: ImageId): Promise<string[]> {
    return this.#db.write(() => images.removeNames(this.#db, id));
  }

  async getLayer(id: LayerId): Promise<LayerRecord | undefined> {
    return this.#db.read(() => layers.getLayer(this.#db, id));
  }

  async getStack(image: ImageId): Promise<LayerRecord[]> {
    return this.#db.read(() => layers.getStack(this.#db, image));
  }

  async missingLayers(ids: readonly LayerId[]): Promise<LayerId[]> {
    return this.#db.read(() => layers.missingLayers(this.#db, ids));
  }

  async putLayer(layer: LayerRecord): Promise<void> {
    return this.#db.write(() => layers.putLayer(this.#db, layer));
  }

  async listLayers(): Promise<LayerRecord[]> {
    return this.#db.read(() => layers.listLayers(this.#db));
  }

  async setLayerBytes(id: LayerId, bytes: number): Promise<void> {
    return this.#db.write(() => layers.setLayerBytes(this.#db, id, bytes));
  }

  async claimLayer(
    id: LayerId,
    process: ProcessIdentity,
    isAlive: (process: ProcessIdentity) => boolean,
  ): Promise<LayerClaim> {
    return this.#db.write(() => layers.claimLayer(this.#db, id, process, isAlive));
  }

  async releaseLayerClaim(id: LayerId, process: ProcessIdentity): Promise<void> {
    return this.#db.write(() => layers.releaseLayerClaim(this.#db, id, process));
  }

  async layerOfBlob(blob: Digest): Promise<LayerId | undefined> {
    return this.#db.read(() => layers.layerOfBlob(this.#db, blob));
  }

  async putBlob(blob: Digest, layer: LayerId): Promise<void> {
    return this.#db.write(() => layers.putBlob(this.#db, blob, layer));
  }

  async beginProvision(
    rootfs: NewRootfs,
    process: ProcessIdentity,
    isAlive: (process: ProcessIdentity) => boolean,
  ): Promise<Claim> {
    return this.#db.write(() => containers.beginProvision(this.#db, rootfs, process, isAlive, Date.now()));
  }

  async finishProvision(rootfsId: string): Promise<void> {
    return this.#db.write(() => containers.finishProvision(this.#db, rootfsId, Date.now()));
  }

  async beginDestroy(
    containerId: string,
    process: ProcessIdentity,
    isAlive: (process: ProcessIdentity) => boolean,
  ): Promise<Claim<RootfsRecord[]>> {
    return this.#db.write(() => containers.beginDestroy(this.#db, containerId, process, isAlive));
  }

  async forgetRootfses(rootfsIds: readonly string[]): Promise<void> {
    return this.#db.write(() => containers.forgetRootfses(this.#db, rootfsIds));
  }

  async releaseContainerClaims(containerId: string, process: ProcessIdentity): Promise<void> {
    return this.#db.write(() => containers.releaseContainerTree(this.#db, containerId, process));
  }

  async getContainer(containerId: string): Promise<ContainerRecord | undefined> {
    return this.#db.read(() => containers.getContainer(this.#db, containerId));
  }

  async listContainers(owner?: string): Promise<ContainerRecord[]> {
    return this.#db.read(() => containers.listContainers(this.#db, owner));
  }

  async verify(): Promise<string[]> {
    return this.#db.read(() => verifyDatabase(this.#db));
  }

  async close(): Promise<void> {
    this.#db.close();
  }
}
