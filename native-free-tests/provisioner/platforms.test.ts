import { createReadStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { formatPlatform, machinePlatform } from '#src/image/platform.js';
import type { Provisioner } from '#src/index.js';
import { buildImage, buildIndex, buildLayer, writeDockerArchive, writeOciLayout } from '../helpers/image-builder.js';
import { openMemoryStore, temporaryDirectory } from '../helpers/memory-store.js';
import { serveImages } from '../helpers/scripted-registry.js';

const NAME = 'docker.io/library/app:v1';
const HERE = machinePlatform();
const [FOREIGN = '', OTHER = ''] = ['linux/arm64', 'linux/s390x', 'linux/riscv64'].filter(
  (it) => it !== formatPlatform(HERE),
);

const imageFor = (platform: string, content = platform) => {
  const [os = '', architecture = ''] = platform.split('/');
  return buildImage([buildLayer([{ path: 'app', content }])], { platform: { os, architecture } });
};
const here = imageFor(formatPlatform(HERE));
const foreign = imageFor(FOREIGN);
const other = imageFor(OTHER);

/** A source with images for this machine and for two others. */
async function multi(...members: ReturnType<typeof imageFor>[]): Promise<string> {
  const layout = join(temporaryDirectory(), 'layout');
  const all = members.length > 0 ? members : [here, foreign, other];
  await writeOciLayout(layout, [{ image: buildIndex(all), refName: 'it' }]);
  return `oci:${layout}`;
}

/** A store, and the warnings that it has given since it was last asked. */
async function store() {
  const p = await openMemoryStore();
  const warnings: { code: string; message: string }[] = [];
  p.events.on('warning', ({ code, message }) => warnings.push({ code, message }));
  return { p, told: () => warnings.splice(0) };
}

const holder = async (p: Provisioner) => (await p.images.get('app:v1')).platform;
const name = 'app:v1';

describe('a pull for another platform', () => {
  it('leaves the name to the image for this machine, and says under which digest it has stored what it got', async () => {
    const { p, told } = await store();
    const source = await multi();
    const native = await p.images.pull(source, { name });
    expect(told()).toEqual([]);
    const pulled = await p.images.pull(source, { name, platform: FOREIGN });
    expect(pulled).toMatchObject({ platform: FOREIGN, names: [], namesGiven: [] });
    expect((await p.images.get(name)).id).toBe(native.id);
    expect((await p.images.get(pulled.id)).platform).toBe(FOREIGN);
    expect(told()).toEqual([
      {
        code: 'NAME_NOT_GIVEN',
        message: `the image for ${FOREIGN} is stored as ${pulled.id}; the name ${NAME} stays with the image for ${native.platform}`,
      },
    ]);
  });

  it('takes a name that nobody has, and keeps it up to date, until there is an image for this machine', async () => {
    const { p, told } = await store();
    await p.images.pull(await multi(), { name, platform: FOREIGN });
    expect(await holder(p)).toBe(FOREIGN);
    const newer = await p.images.pull(await multi(imageFor(FOREIGN, 'newer')), { name, platform: FOREIGN });
    expect((await p.images.get(name)).id).toBe(newer.id);
    expect(told()).toEqual([]);
    // Nor does one for a third platform take it.
    await p.images.pull(await multi(), { name, platform: OTHER });
    expect(await holder(p)).toBe(FOREIGN);
    expect(told()).toMatchObject([{ code: 'NAME_NOT_GIVEN' }]);
    await p.images.pull(await multi(), { name });
    expect(await holder(p)).toBe(formatPlatform(HERE));
    expect(told()).toEqual([]);
  });

  it('is given the name all the same by who says so', async () => {
    const { p } = await store();
    await p.images.pull(await multi(), { name });
    const { id } = await p.images.pull(await multi(), { name, platform: FOREIGN });
    await p.images.tag(id, name);
    expect(await holder(p)).toBe(FOREIGN);
  });

  it('can be had by the name together with the platform, without asking anybody', async () => {
    const { p } = await store();
    const source = await multi();
    await p.images.pull(source, { name });
    const { id } = await p.images.pull(source, { name, platform: FOREIGN });
    const never = { platform: FOREIGN, pullPolicy: 'never' } as const;
    expect((await p.images.pull(name, never)).id).toBe(id);
    expect((await p.provision('job', name, never)).image.id).toBe(id);
    expect(await p.images.availability(name, { platform: FOREIGN })).toEqual({ state: 'ready', image: id });
    expect(await p.images.availability(name, { platform: OTHER })).toEqual({ state: 'missing' });
    await p.images.remove(name);
    expect(await p.images.availability(name, { platform: FOREIGN })).toEqual({ state: 'missing' });
  });

  it('from a registry whose name means something else by now is ready for who requests it again', async () => {
    const images = { app: here };
    const { host } = await serveImages(images);
    const { p } = await store();
    await p.images.pull(`${host}/app`);
    images.app = foreign;
    const { id } = await p.images.pull(`${host}/app`, { platform: FOREIGN });
    expect((await p.images.get(`${host}/app`)).platform).toBe(formatPlatform(HERE));
    expect(await p.images.request(`${host}/app`, { platform: FOREIGN })).toEqual({ state: 'ready', image: id });
  });

  it('has the same manners when it loads an archive', async () => {
    const { p, told } = await store();
    await p.images.pull(await multi(), { name });
    const archive = join(temporaryDirectory(), 'archive.tar');
    await writeDockerArchive(archive, [{ image: foreign, tags: [name, 'app:arm'] }]);
    const [loaded] = await p.images.load(createReadStream(archive), { platform: FOREIGN });
    expect(loaded?.namesGiven).toEqual(['docker.io/library/app:arm']);
    expect(await holder(p)).toBe(formatPlatform(HERE));
    expect(told()).toMatchObject([{ code: 'NAME_NOT_GIVEN' }]);
  });
});

describe('a container of an image for another platform', () => {
  it('is made, and the embedder is warned, however the image was named', async () => {
    const { p, told } = await store();
    const source = await multi();
    await p.provision('native', source);
    expect(told()).toEqual([]);
    const made = await p.provision('foreign', source, { platform: FOREIGN });
    expect(readFileSync(join(made.rootfs, 'app'), 'utf8')).toBe(FOREIGN);
    const warning = {
      code: 'FOREIGN_PLATFORM',
      message: expect.stringContaining(`is for ${FOREIGN}, and this machine is ${formatPlatform(HERE)}`),
    };
    expect(told()).toEqual([warning]);
    await p.provision('by-digest', made.image.id);
    expect(told()).toEqual([warning]);
  });
});
