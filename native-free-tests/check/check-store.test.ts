import { appendFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildImage, buildLayer } from '../helpers/image-builder.js';
import { layoutOf, openMemoryStore } from '../helpers/memory-store.js';

const image = buildImage([
  buildLayer([{ path: 'a', content: 'one' }]),
  buildLayer([
    { path: 'b/c', content: 'two', mode: 0 },
    { path: 'locked/', mode: 0 },
  ]),
]);

describe('the check of a store', () => {
  it('finds nothing in a healthy one, tells its progress, and adds up its disk use', async () => {
    const p = await openMemoryStore();
    await p.images.pull(await layoutOf(image), { name: 'app' });
    await p.provision('job', 'app', { backend: 'copy' });
    await p.store.swept();
    const progress: string[] = [];
    p.events.on('checkProgress', ({ done, total }) => progress.push(`${done}/${total}`));
    for (const full of [false, true]) {
      expect(await p.store.check({ full })).toMatchObject({
        findings: [],
        sound: true,
        layers: 2,
        images: 1,
        containers: 1,
      });
    }
    expect(progress).toEqual(['1/2', '2/2', '1/2', '2/2']);
    const usage = await p.store.usage();
    expect(usage.layers).toMatchObject({ count: 2, unused: { count: 0 } });
    expect(usage.unaccounted).toEqual({ count: 0, bytes: 0 });
  });

  it('finds the damaged one among more layers than a thread is asked for together, and tells of each', async () => {
    const many = Array.from({ length: 150 }, (_, n) => buildLayer([{ path: `file-${n}`, content: String(n) }]));
    const p = await openMemoryStore();
    const { layers } = await p.images.pull(await layoutOf(buildImage(many)), { name: 'app' });
    const damaged = [layers[0], layers[77], layers[149]] as string[];
    for (const id of damaged) writeFileSync(join(p.root, 'layers', id.slice('sha256:'.length), 'rootfs/more'), '');
    const told: string[] = [];
    p.events.on('checkProgress', ({ layer }) => told.push(layer));
    for (const full of [false, true]) {
      const { findings } = await p.store.check({ full });
      expect(findings.map(({ code, subject }) => `${code} ${subject}`).sort()).toEqual(
        damaged.map((id) => `LAYER_DAMAGED ${id}`).sort(),
      );
      expect(told.splice(0).sort()).toEqual([...layers].sort());
    }
  });

  it('heals what is damaged and what is missing, from the source', async () => {
    const p = await openMemoryStore();
    const { layers } = await p.images.pull(await layoutOf(image), { name: 'app' });
    const directories = layers.map((id) => join(p.root, 'layers', id.slice('sha256:'.length)));
    appendFileSync(join(directories[0] as string, 'rootfs/a'), '!');
    rmSync(directories[1] as string, { recursive: true });
    expect((await p.store.check()).sound).toBe(false);
    await p.store.swept();
    const healed = await p.store.check({ repair: true });
    expect(healed.sound).toBe(true);
    expect(healed.findings.map(({ outcome }) => outcome?.state)).toEqual(['healed', 'healed']);
    expect(readFileSync(join(directories[0] as string, 'rootfs/a'), 'utf8')).toBe('one');
    expect((await p.store.check({ full: true })).findings.filter(({ severity }) => severity !== 'note')).toEqual([]);
    await p.close();
    expect(readdirSync(join(p.root, 'staging'))).toEqual([]);
    expect(readdirSync(join(p.root, 'gc'))).toEqual([]);
  });
});
