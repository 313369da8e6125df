import { isProvisionerError } from '../base/errors.js';
import { makeOwnDirectory } from '../base/own-files.js';
import { removeTree } from '../files/tree/removal/remove-tree.js';
import type { PassedOver, RegistryBlob } from '../registry/blobs/registry-blob.js';
import type { RegistryClient } from '../registry/registry-client.js';
import { type UnpackContext, type UnpackedLayer, unpackLayer, unpackStoredBytes } from '../unpack/unpack-layer.js';
import type { UnpackedJob, UnpackJob } from './jobs.js';

/** Unpacks a layer from wherever it is stored. @throws as `unpackStoredBytes`; from a registry also as `BlobReader` */
export async function unpackStored(job: UnpackJob, context: UnpackContext): Promise<UnpackedJob> {
  const { blob, ...target } = job;
  if (blob.kind === 'registry') return unpackFetched(job, blob, context);
  return { ...(await unpackLayer({ ...target, blob }, context)), passedOver: [] };
}

/** What is needed for a layer of a registry: loaded with the first one, or when it is known to come. */
export async function loadFetching() {
  const [{ RegistryClient }, { BlobReader, hostOf }, { MAX_CONNECTIONS_PER_BLOB }, { loadUndici }] = await Promise.all([
    import('../registry/registry-client.js'),
    import('../registry/blobs/blob-reader.js'),
    import('../registry/blobs/parts-ahead.js'),
    import('../registry/connection/load-undici.js'),
  ]);
  await loadUndici();
  return { BlobReader, hostOf, newClient: () => new RegistryClient(MAX_CONNECTIONS_PER_BLOB) };
}

/** What comes of a coding that was undone and should not have been. */
const WRONG_BYTES = ['ERR_DIGEST_MISMATCH', 'ERR_SIZE_MISMATCH', 'ERR_REGISTRY_FAILED'] as const;

/** A thread has one job at a time, and the connections of that; they are kept for the next job. */
let client: RegistryClient | undefined;

/**
 * From the socket to the disk in one pass. When the bytes turn out to be wrong ones, what was made of them is thrown away, and the layer is
 * begun anew without the host that they began with; or with the bytes as they come, where a coding was undone that may have been theirs; or over one connection, where several had brought them.
 */
async function unpackFetched(target: UnpackJob, whole: RegistryBlob, context: UnpackContext): Promise<UnpackedJob> {
  const { syscalls, signal } = context;
  const { newClient, BlobReader, hostOf } = await loadFetching();
  client ??= newClient();
  const passedOver: PassedOver[] = [];
  for (let blob = whole; ; ) {
    const reader = new BlobReader(client, blob, signal);
    try {
      const layer: UnpackedLayer = await unpackStoredBytes(reader.chunks(), target, context);
      return { ...layer, passedOver: [...passedOver, ...reader.passedOver] };
    } catch (error) {
      if (signal.aborted) throw error;
      const [suspect] = reader.servedBy;
      const isOther = (host: string | undefined) => host !== suspect;
      const sources = blob.sources.filter(({ endpoint }) => isOther(endpoint.host));
      const urls = (blob.urls ?? []).filter((url) => isOther(hostOf(url)));
      // A host of the registry that gave nothing gives nothing the next time, either.
      const isLeft = sources.length < blob.sources.length ? sources.length > 0 : urls.length > 0;
      if (reader.undidCoding && !blob.keepsCoding && isProvisionerError(error, ...WRONG_BYTES)) {
        blob = { ...blob, keepsCoding: true };
      } else if (reader.readParts && isProvisionerError(error, ...WRONG_BYTES)) {
        blob = { ...blob, oneConnection: true };
      } else if (isProvisionerError(error, 'ERR_DIGEST_MISMATCH') && suspect !== undefined && isLeft) {
        passedOver.push(...reader.passedOver, { host: suspect, code: error.code, message: error.message });
        blob = { ...blob, sources, urls };
      } else {
        throw error;
      }
      removeTree(target.directory, { syscalls });
      makeOwnDirectory(target.directory);
    }
  }
}
