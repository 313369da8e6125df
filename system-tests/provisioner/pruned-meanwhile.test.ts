import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import type { Provisioner, ProvisionerError } from '#src/index.js';
import { SectionedMetadataManager } from '#src/metadata/sectioned-metadata-manager.js';
import { buildImage, buildLayer, writeDockerArchive } from '../../native-free-tests/helpers/image-builder.js';
import { serveImages } from '../../native-free-tests/helpers/scripted-registry.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, temporaryDirectory } from '../helpers/test-store.js';

const app = buildImage([buildLayer([{ path: 'app', content: 'v1' }])]);
const { digest: id } = app.manifest.descriptor;
const foreign = buildImage([buildLayer([{ path: 'app', content: 'for another machine' }])], {
  platform: { os: 'linux', architecture: 's390x' },
});

afterEach(() => vi.restoreAllMocks());

/** Lets another agent prune the whole store, once, before the records take up one of our questions, or right after they have answered it. */
function pruneAt(when: 'before' | 'after', call: 'getImageByName' | 'addName' | 'putImage', other: Provisioner) {
  const original = SectionedMetadataManager.prototype[call] as (...args: unknown[]) => Promise<unknown>;
  const pruned: string[] = [];
  const prune = async () => {
    if (pruned.length > 0) return;
    pruned.push('begun');
    const { images } = await other.pruneImages();
    pruned.push(...images.filter(({ reasons }) => reasons.length === 0).map((image) => image.id));
  };
  vi.spyOn(SectionedMetadataManager.prototype, call).mockImplementation(async function (
    this: SectionedMetadataManager,
    ...args: unknown[]
  ): Promise<never> {
    if (when === 'before') await prune();
    const answer = await original.apply(this, args);
    if (when === 'after') await prune();
    return answer as never;
  });
  return pruned;
}

describeWith(['root'], 'an image that a prune takes right when it has been found', () => {
  it.each([
    ['and before it is named', 'before', 'addName', ['docker.io/library/mine:v1']],
    ['and before anything is done with it', 'after', 'getImageByName', ['docker.io/library/mine:v1']],
    ['and is to have no further name', 'after', 'getImageByName', undefined],
  ] as const)('%s, is pulled again by the policy missing', async (_, when, call, names) => {
    const registry = await serveImages({ app });
    const p = await openStore();
    const other = await openStore({ root: p.root });
    const source = `${registry.host}/app:v1`;
    await p.images.pull(source);
    const pruned = pruneAt(when, call, other);
    const pulled = await p.images.pull(source, { pullPolicy: 'missing', name: names?.[0] });
    expect(pruned).toEqual(['begun', id]);
    expect(pulled).toMatchObject({ id, namesGiven: names ?? [source] });
    expect(await p.images.get(id)).toMatchObject({ names: pulled.names });
  });

  it('is not found by the policy never, which says so', async () => {
    const registry = await serveImages({ app });
    const p = await openStore();
    const other = await openStore({ root: p.root });
    const source = `${registry.host}/app:v1`;
    await p.images.pull(source);
    pruneAt('after', 'getImageByName', other);
    await expect(p.images.pull(source, { pullPolicy: 'never' })).rejects.toMatchObject({
      code: 'ERR_IMAGE_NOT_FOUND',
      message: expect.stringContaining(source),
      hint: expect.stringContaining('policy never'),
    });
  });

  it('is not told as ready by a request, which pulls it', async () => {
    const registry = await serveImages({ app });
    const p = await openStore();
    const other = await openStore({ root: p.root });
    const source = `${registry.host}/app:v1`;
    await p.images.pull(source);
    const pruned = pruneAt('after', 'getImageByName', other);
    await p.images.request(source);
    expect(pruned).toEqual(['begun', id]);
    await expect.poll(() => p.images.availability(source), { timeout: 20_000 }).toEqual({ state: 'ready', image: id });
    expect(await p.images.get(id)).toMatchObject({ id });
  });

  it('after an archive brought it, is told as gone', async () => {
    const p = await openStore();
    await expectGone(p, await archiveOf(app), pruneAt('after', 'putImage', await openStore({ root: p.root })));
  });

  it('before it is told that it was not given its name, is told as gone', async () => {
    const p = await openStore();
    await p.images.load(await archiveOf(app));
    await p.images.pin('app:v1');
    const pruned = pruneAt('before', 'addName', await openStore({ root: p.root }));
    await expectGone(p, await archiveOf(foreign), pruned, 'linux/s390x');
  });
});

async function archiveOf(image: typeof app): Promise<string> {
  const archive = join(temporaryDirectory(), 'archive.tar');
  await writeDockerArchive(archive, [{ image, tags: ['app:v1'] }]);
  return archive;
}

async function expectGone(p: Provisioner, archive: string, pruned: readonly string[], platform?: string) {
  const error = await p.images.load(archive, { name: 'app:v1', platform }).catch((reason: ProvisionerError) => reason);
  expect(error).toMatchObject({
    code: 'ERR_IMAGE_NOT_FOUND',
    message: `the image ${pruned[1]} was removed right after it was loaded`,
    hint: expect.stringContaining('another process prunes'),
  });
}
