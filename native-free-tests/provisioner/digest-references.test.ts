import { join } from 'node:path';
import { describe, expect, it, test, vi } from 'vitest';
import type { Provisioner } from '#src/index.js';
import { MemoryMetadataManager } from '#src/metadata/memory/memory-metadata-manager.js';
import {
  buildImage,
  buildIndex,
  buildLayer,
  writeDockerArchive,
  writeOciArchive,
  writeOciLayout,
} from '../helpers/image-builder.js';
import { layoutOf, openMemoryStore, temporaryDirectory } from '../helpers/memory-store.js';

const v1 = buildImage([buildLayer([{ path: 'app', content: 'v1' }])]);
const v2 = buildImage([buildLayer([{ path: 'app', content: 'v2' }])]);
const id1 = v1.manifest.descriptor.digest;
const id2 = v2.manifest.descriptor.digest;
const pin = `app@${id1}`;
const fullPin = `docker.io/library/${pin}`;

/** Gives an image a name as older releases took it from any source. */
async function recordName(p: Provisioner, image: string, name: string): Promise<void> {
  const { addName } = MemoryMetadataManager.prototype;
  const spy = vi.spyOn(MemoryMetadataManager.prototype, 'addName');
  spy.mockImplementationOnce(function (this: MemoryMetadataManager, _, id) {
    return addName.call(this, name, id);
  });
  await p.images.tag(image, 'by-the-way');
  spy.mockRestore();
  expect((await p.images.get(image)).names).toContain(name);
}

/** What `pin` means to each call that takes an image; `undefined` for nothing. */
async function meant(p: Provisioner): Promise<Record<string, string | undefined>> {
  const here = async (find: () => Promise<string>) => {
    try {
      return await find();
    } catch (error) {
      expect(error).toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' });
      return undefined;
    }
  };
  const never = { pullPolicy: 'never' } as const;
  const { plan } = await p.pruneImages([pin], { dryRun: true });
  const images = (await p.images.list()).map(({ id }) => id);
  const kept = images.filter((id) => plan.images.every((gone) => gone.id !== id));
  expect(kept.length).toBeLessThanOrEqual(1);
  const availability = await p.images.availability(pin);
  const answers = {
    image: await here(async () => (await p.images.get(pin)).id),
    why: await here(async () => (await p.store.why(pin)).id),
    pull: await here(async () => (await p.images.pull(pin, never)).id),
    provision: await here(async () => (await p.provision('job', pin, never)).image.id),
    unpin: await here(() => p.images.unpin(pin)),
    availability: availability.state === 'ready' ? availability.image : undefined,
    excluded: kept[0],
  };
  await p.destroy('job');
  return answers;
}

const everywhere = (id: string | undefined) =>
  Object.fromEntries(
    ['image', 'why', 'pull', 'provision', 'unpin', 'availability', 'excluded'].map((call) => [call, id]),
  );

describe('a reference with a digest', () => {
  it('means the image of that digest, whichever image carries it as its name in an older store', async () => {
    const p = await openMemoryStore();
    await p.images.pull(await layoutOf(v1), { name: 'app:v1' });
    await p.images.pull(await layoutOf(v2), { name: 'app:v2' });
    await recordName(p, 'app:v2', fullPin);
    expect(await meant(p)).toEqual(everywhere(id1));
  });

  it('means nothing when the image of that digest is not here, whichever image carries it as its name', async () => {
    const p = await openMemoryStore();
    await p.images.pull(await layoutOf(v2), { name: 'app:v2' });
    await recordName(p, 'app:v2', fullPin);
    expect(await meant(p)).toEqual(everywhere(undefined));
    await expect(p.images.remove(pin)).rejects.toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' });
    expect((await p.images.get('app:v2')).names).toContain(fullPin);
    await expect(p.provision('job', pin, { registry: { retries: 0 } })).rejects.not.toMatchObject({ image: id2 });
  });

  it('takes no name from an image of another digest', async () => {
    const p = await openMemoryStore();
    await p.images.pull(await layoutOf(v1), { name: 'app:v1' });
    await p.images.pull(await layoutOf(v2), { name: 'app:v2' });
    await recordName(p, 'app:v2', fullPin);
    expect(await p.images.remove(pin)).toEqual(['docker.io/library/app:v1']);
    expect((await p.images.get('app:v2')).names).toContain(fullPin);
    expect(await p.images.remove(id2)).toContain(fullPin);
  });

  it('means what was chosen from the index of that digest, for the platform that is asked for', async () => {
    const platform = (architecture: string) => ({ os: 'linux', architecture });
    const arm = buildImage([buildLayer([{ path: 'app', content: 'arm' }])], { platform: platform('arm64') });
    const here = buildImage([buildLayer([{ path: 'app', content: 'amd' }])], { platform: platform('amd64') });
    const index = buildIndex([here, arm]);
    const { digest } = index.index.descriptor;
    const layout = join(temporaryDirectory(), 'layout');
    await writeOciLayout(layout, [{ image: index, refName: `app@${digest}` }]);
    const p = await openMemoryStore();
    const other = await p.images.pull(await layoutOf(v2), { name: 'app:v2' });
    const onArm = await p.images.pull(`oci:${layout}`, { platform: 'linux/arm64' });
    expect(onArm.names).toEqual([`docker.io/library/app@${digest}`]);
    expect((await p.images.get(`app@${digest}`)).id).toBe(onArm.id);
    const onAmd = await p.images.pull(`oci:${layout}`, { platform: 'linux/amd64' });
    const never = { pullPolicy: 'never' } as const;
    for (const [wanted, { id }] of [['linux/arm64', onArm] as const, ['linux/amd64', onAmd] as const]) {
      expect((await p.images.pull(`app@${digest}`, { platform: wanted, ...never })).id).toBe(id);
      const { plan } = await p.pruneImages([`elsewhere@${digest}`], { dryRun: true });
      expect(plan.images.map((image) => image.id)).toEqual([other.id]);
    }
    expect(onAmd.id).not.toBe(onArm.id);
  });
});

describe('a name with a digest', () => {
  it('is given by nobody', async () => {
    const p = await openMemoryStore();
    const source = await layoutOf(v1);
    const archive = join(temporaryDirectory(), 'archive.tar');
    await writeDockerArchive(archive, [{ image: v1, tags: ['app:v1'] }]);
    await p.images.pull(source, { name: 'app:v1' });
    const refused = { code: 'ERR_BAD_REFERENCE', hint: expect.stringContaining('digest') };
    for (const name of [pin, `app@${id2}`, `app:v1@${id1}`]) {
      await expect(p.images.tag('app:v1', name)).rejects.toMatchObject(refused);
      await expect(p.images.pull(source, { name })).rejects.toMatchObject(refused);
      await expect(p.images.load(archive, { name })).rejects.toMatchObject(refused);
      await expect(p.images.request(source, { name })).rejects.toMatchObject(refused);
      await expect(p.images.availability(source, { name })).rejects.toMatchObject(refused);
    }
    expect((await p.images.list()).map(({ names }) => names)).toEqual([['docker.io/library/app:v1']]);
  });

  it.each([
    ['a layout', async (file: string) => writeOciLayout(file, [{ image: v2, refName: pin }]), 'oci:'],
    ['a layout by containerd', (file: string) => writeOciLayout(file, [{ image: v2, containerdName: pin }]), 'oci:'],
    ['an OCI archive', (file: string) => writeOciArchive(file, [{ image: v2, refName: pin }]), 'oci-archive:'],
    ['a docker archive', (file: string) => writeDockerArchive(file, [{ image: v2, tags: [pin] }]), 'docker-archive:'],
  ] as const)(
    'that %s has for an image of another digest is not given to it, and that is told',
    async (_, write, at) => {
      const file = join(temporaryDirectory(), 'source');
      await write(file);
      const p = await openMemoryStore();
      const told: unknown[] = [];
      p.events.on('warning', (warning) => told.push(warning));
      const { id } = await p.images.pull(await layoutOf(v1), { name: 'app:v1' });
      const pulled = await p.images.pull(`${at}${file}`);
      const loaded = at === 'oci:' ? [] : await p.images.load(file);
      for (const image of [pulled, ...loaded]) expect(image).toMatchObject({ names: [], namesGiven: [] });
      expect(told).toEqual(
        [pulled, ...loaded].map((image) =>
          expect.objectContaining({
            code: 'NAME_NOT_GIVEN',
            details: expect.objectContaining({ image: image.id, name: fullPin }),
          }),
        ),
      );
      expect((await p.images.get(pin)).id).toBe(id);
      // What a digest chooses from a source is the image of that digest, too.
      await expect(p.images.pull(`${at}${file}:${pin}`)).rejects.toMatchObject({ code: 'ERR_SOURCE_NOT_FOUND' });
    },
  );

  it('that a source has for the image of that digest is given to it', async () => {
    const layout = join(temporaryDirectory(), 'layout');
    await writeOciLayout(layout, [{ image: v1, refName: pin }]);
    const p = await openMemoryStore();
    expect((await p.images.pull(`oci:${layout}`)).names).toEqual([fullPin]);
    expect((await p.images.pull(`oci:${layout}:${pin}`)).id).toBe(id1);
    expect(await meant(p)).toEqual(everywhere(id1));
    expect(await p.images.remove(pin)).toEqual([fullPin]);
  });
});

test('an image that is loaded beside the one whose digest it claims is not provisioned for it', async () => {
  const layout = join(temporaryDirectory(), 'layout');
  await writeOciLayout(layout, [{ image: v2, refName: pin }]);
  const p = await openMemoryStore({ registry: { retries: 0 } });
  await p.images.pull(await layoutOf(v1), { name: 'app:v1' });
  await p.images.pull(`oci:${layout}`);
  expect((await p.provision('job', pin)).image.id).toBe(id1);
});
