import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { abortedError, isProvisionerError, ProvisionerError, throwIfAborted } from '../base/errors.js';
import { isDigest, type LayerId } from '../image/digest.js';
import type { MetadataManager, TarState } from '../metadata/metadata-manager.js';
import { layersNotFound } from '../metadata/record-errors.js';
import type { StorePaths } from '../paths.js';
import type { Liveness } from '../system/locks/liveness.js';
import { receiveThrough } from '../workers/byte-port.js';
import type { WorkerPool } from '../workers/worker-pool.js';
import { whyNotExportable } from './layer-export.js';

export interface LayerTarNeeds {
  readonly paths: StorePaths;
  readonly metadata: MetadataManager;
  readonly pool: WorkerPool;
  readonly liveness: Liveness;
  /** Nothing can be written: then no lease keeps a prune by another process away. */
  readonly isReadOnly: boolean;
}

/**
 * The archive of a stored layer, made again: its digest is the layer's id, or the stream fails with its last piece. No prune takes the layer until the stream has ended or is destroyed.
 * @throws ProvisionerError `ERR_BAD_DIGEST`, `ERR_LAYER_NOT_FOUND`, `ERR_NOT_EXPORTABLE`, `ERR_ABORTED`; the stream fails with `ERR_STORE_DAMAGED`, `ERR_ABORTED`, `ERR_CLOSED`
 */
export async function openLayerTar(
  id: LayerId,
  needs: LayerTarNeeds,
  signal: AbortSignal | undefined,
): Promise<Readable> {
  throwIfAborted(signal);
  await requireExportable(id, needs);
  const release = needs.isReadOnly ? async () => {} : await keep(id, needs);
  try {
    // A prune may have been quicker.
    await requireExportable(id, needs);
    throwIfAborted(signal);
  } catch (error) {
    await release();
    throw error;
  }
  return new LayerTar(id, needs, signal, release);
}

/** Begins when it is read for the first time: until then it takes no thread, whoever has asked for how many. */
class LayerTar extends Readable {
  readonly #begin: () => AsyncIterator<Buffer, void>;
  readonly #givenUp = new AbortController();
  readonly #release: () => Promise<void>;
  readonly #signal: AbortSignal | undefined;
  #pieces: AsyncIterator<Buffer, void> | undefined;
  #port: MessagePort | undefined;
  #job: Promise<unknown> = Promise.resolve();

  constructor(
    id: LayerId,
    { paths, pool }: LayerTarNeeds,
    signal: AbortSignal | undefined,
    release: () => Promise<void>,
  ) {
    super({ highWaterMark: 0, signal });
    this.#release = release;
    this.#signal = signal;
    this.#begin = () => {
      const { port1: ours, port2: port } = new MessageChannel();
      this.#port = ours;
      const pieces = receiveThrough(ours);
      const request = { directory: paths.layer(id), diffId: id, port };
      this.#job = pool.run('rebuild-layer', request, { signal: this.#givenUp.signal, transfer: [port] });
      // What it fails with itself goes the way of the pieces; this is what keeps it from that.
      this.#job.catch((error: unknown) => this.destroy(error as Error));
      return pieces;
    };
  }

  override _read(): void {
    this.#pieces ??= this.#begin();
    this.#pieces.next().then(
      ({ done, value }) => this.push(done ? null : value),
      async (error: unknown) => void this.destroy((await this.#causeOf(error)) as Error),
    );
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#port?.close();
    this.#givenUp.abort();
    // The thread may be reading still.
    this.#job.catch(() => {}).finally(this.#release);
    callback(error !== null && this.#signal?.aborted ? abortedError(this.#signal) : error);
  }

  /** When the other side is gone, the job knows why. */
  async #causeOf(error: unknown): Promise<unknown> {
    if (isProvisionerError(error)) return error;
    return this.#job.then(
      () => error,
      (cause: unknown) => cause,
    );
  }
}

async function requireExportable(id: LayerId, { metadata }: LayerTarNeeds): Promise<void> {
  if (!isDigest(id)) {
    throw new ProvisionerError('ERR_BAD_DIGEST', `${JSON.stringify(id)} is no layer's id`, {
      hint: 'give it in full, sha256:…, as `provisioner inspect` lists it',
      details: { layer: id },
    });
  }
  const layer = await metadata.getLayer(id);
  if (layer === undefined) throw layersNotFound([id]);
  const reason = whyNotExportable(layer);
  if (reason === undefined) return;
  const image = (await metadata.listImages()).find(({ layers }) => layers.includes(id));
  throw notExportable(id, reason, layer.tar, image?.source);
}

/** @returns lets go of it again */
async function keep(id: LayerId, { metadata, liveness }: LayerTarNeeds): Promise<() => Promise<void>> {
  const lease = randomUUID();
  await metadata.openLease(lease, liveness.identity);
  // When the records are closed by then, it ends with this process's life.
  const release = () => metadata.closeLeases([lease]).catch(() => {});
  try {
    await metadata.leaseLayers(lease, [id]);
  } catch (error) {
    await release();
    throw error;
  }
  return release;
}

/** @param source of an image that has it; undefined when none has */
function notExportable(id: LayerId, reason: string, state: TarState, source: string | undefined): ProvisionerError {
  const hint =
    state === 'seam'
      ? 'name a layer of an image; `provisioner inspect` lists them'
      : state === 'too-large'
        ? 'get its archive from where the image came from'
        : `\`provisioner pull --force ${sourceToPull(source)}\`, or images.pullAgain, keeps what is needed; containers go on as they are`;
  return new ProvisionerError('ERR_NOT_EXPORTABLE', `the archive of layer ${id} cannot be made again: ${reason}`, {
    hint,
    details: { layer: id, reason, state },
  });
}

/** What `load` has read is a source by another name. */
function sourceToPull(source: string | undefined): string {
  if (source === undefined) return 'SOURCE';
  return source.replace(/^archive:-$/, 'docker-archive:FILE').replace(/^archive:/, 'docker-archive:');
}
