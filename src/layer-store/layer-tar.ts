import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { MessageChannel } from 'node:worker_threads';
import { ProvisionerError, throwIfAborted } from '../base/errors.js';
import type { LayerId } from '../image/digest.js';
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
 * @throws ProvisionerError `ERR_LAYER_NOT_FOUND`, `ERR_NOT_EXPORTABLE`, `ERR_ABORTED`; the stream fails with `ERR_STORE_DAMAGED`, `ERR_ABORTED`, `ERR_CLOSED`
 */
export async function openLayerTar(
  id: LayerId,
  needs: LayerTarNeeds,
  signal: AbortSignal | undefined,
): Promise<Readable> {
  const { paths, pool } = needs;
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
  const { port1: ours, port2: port } = new MessageChannel();
  const givenUp = new AbortController();
  const stream = streamOf(ours, () => givenUp.abort());
  const signals = signal === undefined ? givenUp.signal : AbortSignal.any([givenUp.signal, signal]);
  const request = { directory: paths.layer(id), diffId: id, port };
  pool
    .run('rebuild-layer', request, { signal: signals, transfer: [port] })
    // What it fails with itself goes the way of the pieces; this is what keeps it from that.
    .catch((error: unknown) => stream.destroy(error as Error))
    .finally(release);
  return stream;
}

async function requireExportable(id: LayerId, { metadata }: LayerTarNeeds): Promise<void> {
  const layer = await metadata.getLayer(id);
  if (layer === undefined) throw layersNotFound([id]);
  const reason = whyNotExportable(layer);
  if (reason !== undefined) throw notExportable(id, reason, layer.tar);
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

/** Asks for a piece when one is wanted. @param giveUp called when no more are */
function streamOf(port: Parameters<typeof receiveThrough>[0], giveUp: () => void): Readable {
  const pieces = receiveThrough(port);
  return new Readable({
    highWaterMark: 0,
    read() {
      pieces.next().then(
        ({ done, value }) => this.push(done ? null : value),
        (error: unknown) => this.destroy(error as Error),
      );
    },
    destroy(error, callback) {
      port.close();
      giveUp();
      callback(error);
    },
  });
}

function notExportable(id: LayerId, reason: string, state: TarState): ProvisionerError {
  const hint =
    state === 'seam'
      ? 'name a layer of an image; `provisioner inspect` lists them'
      : state === 'too-large'
        ? 'get its archive from where the image came from'
        : '`provisioner pull --force` of its image keeps what is needed, and containers go on as they are';
  return new ProvisionerError('ERR_NOT_EXPORTABLE', `the archive of layer ${id} cannot be made again: ${reason}`, {
    hint,
    details: { layer: id, reason },
  });
}
