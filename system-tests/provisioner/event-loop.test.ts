import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Provisioner, type ProvisionerError } from '#src/index.js';
import { imagePage } from '#src/metadata/images/image-rows.js';
import { SqliteConnection } from '#src/metadata/sqlite/sqlite-connection.js';
import type { PrunePlan } from '#src/prune/plan.js';
import { makeContainers, makeStore } from '../../bench/synthetic-store.mjs';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { longestStretch, threadTime } from '../helpers/event-loop.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, pullImages, temporaryDirectory } from '../helpers/test-store.js';

const IMAGES = 5000;
const OWN_LAYERS = 10;

/** What makes one machine's milliseconds comparable to another's: a thing that is done to every image, with its layers, and is done in one go. */
async function yardstick(root: string): Promise<number> {
  const db = await SqliteConnection.open(join(root, 'metadata.sqlite'));
  try {
    const begun = threadTime();
    expect(await db.read(() => imagePage(db, 0, IMAGES))).toHaveLength(IMAGES);
    return threadTime() - begun;
  } finally {
    db.close();
  }
}

/** Layers come last in a check, each on another thread: what takes long without a thread is over when the first is told. */
async function checkBeforeLayers(provisioner: Provisioner): Promise<void> {
  const enough = new AbortController();
  const stop = () => enough.abort();
  provisioner.events.on('checkProgress', stop);
  await expect(provisioner.store.check({ signal: enough.signal })).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  provisioner.events.off('checkProgress', stop);
}

/** The first half of the images of a plan, with the layers that only they have. */
async function halfOf(provisioner: Provisioner, plan: PrunePlan): Promise<PrunePlan> {
  const stacks = new Map((await provisioner.images.list()).map(({ id, layers }) => [id, layers]));
  const images = plan.images.slice(0, plan.images.length / 2);
  const layers = new Set(images.flatMap(({ id }) => stacks.get(id) ?? []));
  return { ...plan, images, layers: plan.layers.filter(({ id }) => layers.has(id)) };
}

describeWith(['root'], `a store of ${IMAGES} images with ${OWN_LAYERS} layers each`, () => {
  test('leaves the event loop to others in every operation, and applies a plan of half of it whole or not at all', async () => {
    const root = join(temporaryDirectory(), 'store');
    await makeStore(root, { images: IMAGES, ownLayers: OWN_LAYERS });
    await makeContainers(root, IMAGES, IMAGES / 2);
    const provisioner = await Provisioner.open({ root, workers: 1 });
    try {
      const limit = Math.max(await yardstick(root), await yardstick(root));
      const stretches: Record<string, number> = {};
      const measured = async <Result>(name: string, work: () => Promise<Result>): Promise<Result> => {
        let result: Result | undefined;
        stretches[name] = await longestStretch(async () => {
          result = await work();
        });
        return result as Result;
      };
      const { layers } = await provisioner.images.get('image-1');
      await measured('open', async () => (await Provisioner.open({ root })).close());
      await measured('images', () => provisioner.images.list());
      await measured('containers', () => provisioner.containers.list());
      await measured('info', () => provisioner.store.info());
      await measured('why an image', () => provisioner.store.why('image-1'));
      await measured('why a layer', () => provisioner.store.why(layers[0] as string));
      await measured('provision', () => provisioner.provision('job', 'image-1', { backend: 'copy' }));
      await measured('destroy', () => provisioner.destroy('job'));
      await measured('df', () => provisioner.store.usage());
      await measured('check', () => checkBeforeLayers(provisioner));
      await measured('recover', () => provisioner.recover());
      await measured('prune of nothing', () => provisioner.pruneImages(['*']));
      await measured('dry run by size', () => provisioner.pruneImages([], { dryRun: true, keepBytes: 1 }));
      const { plan } = await measured('dry run', () => provisioner.pruneImages([], { dryRun: true }));
      expect(plan.layers).toHaveLength((IMAGES / 2) * OWN_LAYERS);

      const half = await halfOf(provisioner, plan);
      const last = half.images.at(-1)?.id ?? '';
      await provisioner.images.pin(last);
      const outdated = () => provisioner.store.applyPlan(half).catch((error: ProvisionerError) => error.code);
      expect(await measured('plan that is outdated', outdated)).toBe('ERR_PLAN_OUTDATED');
      expect(await provisioner.store.info()).toMatchObject({ images: IMAGES, layers: IMAGES * OWN_LAYERS });
      await provisioner.images.unpin(last);
      await measured('plan', () => provisioner.store.applyPlan(half));
      await measured('prune', () => provisioner.pruneImages());
      expect(await provisioner.store.info()).toMatchObject({ images: IMAGES / 2, layers: (IMAGES / 2) * OWN_LAYERS });
      expect(readdirSync(join(root, 'layers'))).toHaveLength((IMAGES / 2) * OWN_LAYERS);
      await measured('close', () => provisioner.close({ sweep: 'leave' }));
      expect(Object.entries(stretches).filter(([, stretch]) => stretch > limit)).toEqual([]);
    } finally {
      await provisioner.close({ sweep: 'leave' });
    }
  }, 300_000);
});

describeWith(['root', 'overlay'], 'a thousand provisions at once', () => {
  test('and a thousand destroys keep the event loop from nobody for long', async () => {
    const p = await openStore({ unsafeNoSync: true });
    await pullImages(p, { app: buildImage([buildLayer([{ path: 'app', content: 'v1' }])]) });
    await p.provision('first', 'app');
    const ids = Array.from({ length: 1000 }, (_, index) => `job-${index}`);
    const provision = await longestStretch(() => Promise.all(ids.map((id) => p.provision(id, 'app'))));
    const destroy = await longestStretch(() => Promise.all(ids.map((id) => p.destroy(id))));
    expect(Math.max(provision, destroy)).toBeLessThan(50);
  });
});
