import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { absolutePath } from '../base/working-directory.js';
import type { Digest, ImageId } from '../image/digest.js';
import { imageNotes } from '../image/image-notes.js';
import { parseManifest } from '../image/manifest.js';
import { formatPlatform, machinePlatform, parsePlatform } from '../image/platform.js';
import { RegistryAccess } from '../registry/registry-access.js';
import { passedOverWarning } from '../registry/report-passed-over.js';
import { requireRegistryFiles } from '../registry/require-registry-files.js';
import { openSource } from '../sources/open-source.js';
import type { OfferedImage } from '../sources/puller.js';
import { formatSource, parseSource, type Source } from '../sources/source.js';
import type { InflateArchive } from '../unpack/inflate-archive.js';
import { inflateOnThread } from '../workers/inflate-on-thread.js';
import { WorkerPool } from '../workers/worker-pool.js';
import type { InspectRemoteOptions } from './remote-options.js';

/** An image where it lies. */
export interface RemoteImage {
  /** In full: `docker://docker.io/library/app:v1`. */
  readonly source: string;
  /** Of what the source names: an index, or the manifest itself. */
  readonly digest: Digest;
  /** The index that the image was chosen from, byte for byte; null where the source names the manifest. */
  readonly index: string | null;
  /** For which the source has images under that name. */
  readonly platforms: readonly string[];
  /** Of the manifest for the platform: what the image would be called once it is stored. */
  readonly id: ImageId;
  readonly platform: string;
  /** What the source itself calls it, in full. */
  readonly names: readonly string[];
  readonly mediaType: string;
  /** Byte for byte. An archive of `docker save` has none, and this is what a pull would write. */
  readonly manifest: string;
  readonly configDigest: Digest;
  readonly config: string;
  /** Bottom first. */
  readonly layers: readonly RemoteLayer[];
  /** Bytes of the layers as they lie there, mostly compressed, each once. */
  readonly compressedBytes: number;
  /** What is odd about its documents and a pull puts up with: a sentence for each, mostly none. */
  readonly notes: readonly string[];
}

export interface RemoteLayer {
  /** Of the layer as it lies there; of an archive of `docker save`, which states none, the diff ID. */
  readonly digest: Digest;
  /** Of the layer unpacked: its id once it is stored. */
  readonly diffId: Digest;
  readonly mediaType: string;
  /** As it lies there. */
  readonly bytes: number;
}

/** @throws as `inspectRemote` */
export async function lookAtImage(
  text: string,
  { platform, registry = {}, signal, onWarning }: InspectRemoteOptions,
): Promise<RemoteImage> {
  const source = absolute(parseSource(text));
  const wanted = platform === undefined ? machinePlatform() : parsePlatform(platform);
  await requireRegistryFiles(registry);
  const access = new RegistryAccess();
  const onPassedOver = (host: Parameters<typeof passedOverWarning>[0]) => onWarning?.(passedOverWarning(host));
  return withArchives(source, async (archives) => {
    try {
      const puller = openSource(source, {
        ...archives,
        openRepository: (reference) => access.open(reference, registry, { signal, onPassedOver }),
      });
      const offer = await puller.open({ platform: wanted, signal, withChoice: true });
      try {
        return described(offer.images[0] as OfferedImage, formatSource(source));
      } finally {
        await offer.close();
      }
    } finally {
      await access.close();
    }
  });
}

/** As records of a pull have it. */
function absolute(source: Source): Source {
  return source.transport === 'docker' ? source : { ...source, path: absolutePath(source.path) };
}

interface Archives {
  readonly stagingDirectory: string;
  readonly inflate: InflateArchive;
}

/** Compressed archives are written out, uncompressed, in a directory that is made when it is needed, with a name that nobody can foresee, and goes again; so is the thread for that. */
async function withArchives<T>({ transport }: Source, work: (archives: Archives) => Promise<T>): Promise<T> {
  if (!transport.endsWith('-archive')) return work({ stagingDirectory: tmpdir(), inflate: noArchive });
  let pool: WorkerPool | undefined;
  const place = join(tmpdir(), `provisioner-inspect-${randomUUID()}`);
  try {
    return await work({
      stagingDirectory: place,
      inflate: (...inflating) => {
        pool ??= new WorkerPool(1);
        return inflateOnThread(pool)(...inflating);
      },
    });
  } finally {
    await pool?.close();
    rmSync(place, { recursive: true, force: true });
  }
}

const noArchive: InflateArchive = async () => {
  throw new Error('only archives are inflated');
};

function described(image: OfferedImage, source: string): RemoteImage {
  const { id, mediaType, manifest, configDigest, config, names, choice } = image;
  const platform = formatPlatform(image.platform);
  const stated = parseManifest(manifest, `the manifest ${id}`).layers;
  const layers = image.layers.map(({ diffId, size }, position): RemoteLayer => {
    // As many as there are in the manifest: an offer without that is none.
    const { digest, mediaType: type } = stated[position] as (typeof stated)[number];
    return { digest, diffId, mediaType: type, bytes: size };
  });
  const sizes = new Map(layers.map(({ digest, bytes }) => [digest, bytes]));
  return {
    source,
    digest: image.chosenFrom ?? id,
    index: choice?.index ?? null,
    platforms: [...new Set(choice?.platforms.map(formatPlatform) ?? [platform])],
    id,
    platform,
    names,
    mediaType,
    manifest,
    configDigest,
    config,
    layers,
    compressedBytes: [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0),
    notes: imageNotes({ manifest, config, platform }),
  };
}
