import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parsePlatform } from '#src/image/platform.js';
import type { FileLocation, Puller } from '#src/sources/puller.js';
import { buildImage, buildLayer, type Image } from '../helpers/image-builder.js';

/** A source with these images, for `linux/amd64` or `linux/arm64`, each under its own name. */
export type MakePuller = (images: ReadonlyMap<string, Image>) => Promise<Puller>;

const AMD64 = parsePlatform('linux/amd64');

/** What every puller promises, whatever its source. */
export function describePuller(kind: string, makePuller: MakePuller): void {
  const layers = [
    buildLayer([{ path: 'base.txt', content: 'base' }]),
    buildLayer([{ path: 'middle.txt', content: 'middle' }], { compression: 'none' }),
    buildLayer([{ path: 'top.txt', content: 'top' }], { compression: 'zstd' }),
  ];
  const image = buildImage(layers, { config: { Env: ['A=1'] } });
  const other = buildImage(layers.slice(0, 1));
  const arm = buildImage(layers.slice(0, 2), { platform: { os: 'linux', architecture: 'arm64' } });

  describe(`${kind}, like every puller`, () => {
    it('offers the config as it is, the layers in order, and the name', async () => {
      const offer = await (await makePuller(new Map([['app:v1', image]]))).open({ platform: AMD64 });
      expect(offer.images).toHaveLength(1);
      expect(offer.images[0]).toMatchObject({
        config: image.config.bytes.toString(),
        configDigest: image.config.descriptor.digest,
        platform: AMD64,
        names: ['docker.io/library/app:v1'],
      });
      expect(offer.images[0]?.layers.map((layer) => layer.diffId)).toEqual(layers.map((layer) => layer.diffId));
      await offer.close();
    });

    it('names the image by the digest of the manifest it offers', async () => {
      const offer = await (await makePuller(new Map([['app:v1', image]]))).open({ platform: AMD64 });
      const [found] = offer.images;
      expect(found?.id).toBe(
        `sha256:${createHash('sha256')
          .update(found?.manifest ?? '')
          .digest('hex')}`,
      );
      expect(JSON.parse(found?.manifest ?? '').config.digest).toBe(found?.configDigest);
      await offer.close();
    });

    it('says where the bytes of each layer lie', async () => {
      const offer = await (await makePuller(new Map([['app:v1', image]]))).open({ platform: AMD64 });
      for (const [position, layer] of (offer.images[0]?.layers ?? []).entries()) {
        const location = layer.location as FileLocation;
        const bytes = await readAt(location);
        expect(isAbsolute(location.path)).toBe(true);
        expect(layer.size).toBe(bytes.length);
        expect([layers[position]?.tar, layers[position]?.blob].some((stored) => stored?.equals(bytes))).toBe(true);
        if (layer.digest !== undefined) expect(layers[position]?.digest).toBe(layer.digest);
      }
      await offer.close();
    });

    it('opens the same source again to the same image, and closes an offer twice', async () => {
      const puller = await makePuller(new Map([['app:v1', image]]));
      const first = await puller.open({ platform: AMD64 });
      const second = await puller.open({ platform: AMD64 });
      expect(second.images[0]?.id).toBe(first.images[0]?.id);
      for (const offer of [first, first, second]) await offer.close();
    });

    it('picks the image that the reference names', async () => {
      const puller = await makePuller(
        new Map([
          ['app:v1', image],
          ['app:v2', other],
        ]),
      );
      const offer = await puller.open({ platform: AMD64, reference: 'app:v2' });
      expect(offer.images.map((found) => found.configDigest)).toEqual([other.config.descriptor.digest]);
      await offer.close();
    });

    it('lists what there is when several images are there and none is named', async () => {
      const puller = await makePuller(
        new Map([
          ['app:v1', image],
          ['app:v2', other],
        ]),
      );
      await expect(puller.open({ platform: AMD64 })).rejects.toMatchObject({
        code: 'ERR_IMAGE_AMBIGUOUS',
        message: expect.stringMatching(/app:v1, .*app:v2/),
        hint: expect.stringContaining(':REF'),
      });
    });

    it('lists what there is when the reference names nothing', async () => {
      const puller = await makePuller(new Map([['app:v1', image]]));
      await expect(puller.open({ platform: AMD64, reference: 'app:v3' })).rejects.toMatchObject({
        code: 'ERR_SOURCE_NOT_FOUND',
        message: expect.stringMatching(/app:v3.*app:v1/),
      });
    });

    it('says which platforms there are when the wanted one is not', async () => {
      const puller = await makePuller(new Map([['app:v1', arm]]));
      await expect(puller.open({ platform: AMD64 })).rejects.toMatchObject({
        code: 'ERR_PLATFORM_NOT_OFFERED',
        message: expect.stringMatching(/linux\/amd64.*linux\/arm64/),
        hint: expect.stringContaining('--platform'),
      });
    });

    it('takes the only image for the platform when the others are for another', async () => {
      const puller = await makePuller(
        new Map([
          ['app:v1', image],
          ['app:arm', arm],
        ]),
      );
      const offer = await puller.open({ platform: parsePlatform('linux/arm64') });
      expect(offer.images.map((found) => found.configDigest)).toEqual([arm.config.descriptor.digest]);
      await offer.close();
    });

    it('stops at once when the caller has given up', async () => {
      const puller = await makePuller(new Map([['app:v1', image]]));
      const reason = new Error('changed my mind');
      await expect(puller.open({ platform: AMD64, signal: AbortSignal.abort(reason) })).rejects.toMatchObject({
        code: 'ERR_ABORTED',
        cause: reason,
      });
    });

    it('offers an image without layers', async () => {
      const offer = await (await makePuller(new Map([['empty:v1', buildImage([])]]))).open({ platform: AMD64 });
      expect(offer.images[0]?.layers).toEqual([]);
      await offer.close();
    });

    it('offers the same layer twice in one image', async () => {
      const [base] = layers;
      if (base === undefined) throw new Error('there is a base');
      const offer = await (await makePuller(new Map([['twice:v1', buildImage([base, base])]]))).open({
        platform: AMD64,
      });
      expect(offer.images[0]?.layers.map((layer) => layer.diffId)).toEqual([base.diffId, base.diffId]);
      await offer.close();
    });
  });
}

async function readAt({ path, offset, size }: FileLocation): Promise<Buffer> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size), 0, size, offset);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
