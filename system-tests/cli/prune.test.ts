import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { unmountAll } from '../helpers/reboot.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';
import { APP_V1, APP_V2, newStore, pulledStore } from './run-cli.js';

const DIGEST = /^sha256:[0-9a-f]{64}$/;
const V1 = 'docker.io/library/app:v1';
const V2 = 'docker.io/library/app:v2';

/** A store with both versions of the image. */
async function filledStore() {
  const {
    digests: [v1 = '', v2 = ''],
    ...store
  } = await pulledStore(APP_V1, APP_V2);
  const names = async () => ((await store.json('images')) as { names: string[] }[]).flatMap((image) => image.names);
  return { ...store, v1, v2, names, gc: () => readdirSync(join(store.root, 'gc')) };
}

describeWith(['root', 'overlay'], 'provisioner prune', () => {
  it('takes what nobody keeps, says so line by line, and gives the space back before it ends', async () => {
    const { lines, names, gc } = await filledStore();
    const shown = await lines('prune', '--exclude', 'app:v2');
    expect(shown).toContain(`removed  image ${V1}`);
    expect(shown).toContain(`kept     image ${V2}: excluded by "app:v2"`);
    expect(shown.filter((line) => /^removed {2}layer [0-9a-f]{12}, [\d.]+k?B$/.test(line))).toHaveLength(1);
    expect(shown.at(-1)).toMatch(/^removed 1 images? and 1 layers?, [\d.]+kB$/);
    expect(await names()).toEqual([V2]);
    expect(gc()).toEqual([]);
  });

  it('has a document with what went, what stayed and why', async () => {
    const { json, lines, v1, v2 } = await filledStore();
    await lines('provision', 'job', 'app:v2', '--owner', 'ci');
    await lines('pin', 'app:v2');
    const report = (await json('prune')) as Record<string, { layers: { reasons?: { kind: string }[] }[] }>;
    expect(report).toEqual({
      dryRun: false,
      bytesFreed: expect.any(Number),
      lock: { waitedMilliseconds: expect.any(Number), heldMilliseconds: expect.any(Number) },
      removed: {
        images: [{ id: v1, names: [V1] }],
        layers: [{ id: expect.stringMatching(DIGEST), bytes: expect.any(Number) }],
        staging: [],
        containers: [],
      },
      failed: [],
      kept: {
        images: [
          { id: v2, names: [V2], reasons: [{ kind: 'pinned' }, { kind: 'container', container: 'job', owner: 'ci' }] },
        ],
        layers: expect.arrayContaining([
          {
            id: expect.stringMatching(DIGEST),
            bytes: expect.any(Number),
            reasons: [
              { kind: 'image', image: v2, names: [V2] },
              { kind: 'container', container: 'job', owner: 'ci' },
            ],
          },
        ]),
      },
    });
    await lines('destroy', 'job', '--any-owner');
  });

  it('does nothing with --dry-run, and what its plan says with --apply, which cannot be done twice', async () => {
    const { lines, names, json, run } = await filledStore();
    const plan = join(temporaryDirectory(), 'plan.json');
    const dry = await lines('prune', '--dry-run', '--plan', plan, '--exclude', 'app:v2');
    expect(dry).toContain(`remove   image ${V1}`);
    expect(dry.at(-1)).toMatch(/^would remove 1 images? and 1 layers?, /);
    expect(await names()).toHaveLength(2);
    const written = JSON.parse(readFileSync(plan, 'utf8'));
    expect(written).toMatchObject({ version: 1, images: [{ names: [V1] }] });

    expect(await json('prune', '--apply', plan)).toMatchObject({
      dryRun: false,
      bytesFreed: written.bytes,
      removed: { images: [{ names: [V1] }] },
      kept: { images: [], layers: [] },
    });
    expect(await names()).toEqual([V2]);
    const { status, stdout, stderr } = await run(['prune', '--apply', plan, '--json']);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'ERR_PLAN_OUTDATED', hint: expect.any(String) } });
    expect(await names()).toEqual([V2]);
  });

  it('writes a plan to stdout, alone, and reads one from stdin', async () => {
    const { run, names } = await filledStore();
    const { stdout } = await run(['prune', '--dry-run', '--plan', '-']);
    expect(JSON.parse(stdout).images).toHaveLength(2);
    const applied = await run(['prune', '--apply', '-'], { input: stdout });
    expect(applied.status).toBe(0);
    expect(await names()).toEqual([]);
  });

  it.each([
    ['is no JSON', 'no plan', 'ERR_BAD_OPTION'],
    ['is no plan', '{"version":1}', 'ERR_BAD_OPTION'],
    ['is not there', undefined, 'ERR_IO'],
  ])('refuses a plan that %s, with status 1', async (_, text, code) => {
    const { run, names } = await filledStore();
    const plan = join(temporaryDirectory(), 'plan.json');
    if (text !== undefined) writeFileSync(plan, text);
    const { status, stderr } = await run(['prune', '--apply', plan, '--json']);
    expect(status).toBe(1);
    expect(JSON.parse(stderr)).toMatchObject({ error: { code } });
    expect(await names()).toHaveLength(2);
  });

  it('keeps by size and by age, and by patterns for names', async () => {
    const { lines, names } = await filledStore();
    expect((await lines('prune', '--older-than', '1h')).at(-1)).toMatch(/^removed 0 images/);
    expect((await lines('prune', '--keep', '1GB')).at(-1)).toMatch(/^removed 0 images/);
    expect((await lines('prune', '--exclude', 'app:v*')).at(-1)).toMatch(/^removed 0 images/);
    await lines('prune', '--keep', '1B', '--older-than', '0s', '--exclude', 'app:v1*');
    expect(await names()).toEqual([V1]);
  });

  it('refuses a bad exclusion with status 1 and takes nothing', async () => {
    const { run, names } = await filledStore();
    const { status, stderr } = await run(['prune', '--exclude', 'a b']);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^provisioner: .+\n/);
    expect(await names()).toHaveLength(2);
  });

  it('leaves the sweep to later with --no-wait, and the next command that sweeps does it', async () => {
    const { lines, names, gc } = await filledStore();
    await lines('prune', '--no-wait');
    expect(await names()).toEqual([]);
    await lines('prune');
    expect(gc()).toEqual([]);
  });

  it('takes nothing from containers, whoever made them', async () => {
    const { lines, root } = await filledStore();
    const [rootfs = ''] = await lines('provision', 'job', 'app:v1', '--owner', 'ci');
    await lines('rmi', 'app:v1');
    await lines('prune');
    expect(readdirSync(join(rootfs, 'app'))).toContain('main.sh');
    await lines('destroy', 'job', '--any-owner');
    await lines('prune');
    expect(readdirSync(join(root, 'layers'))).toEqual([]);
  });
});

describeWith(['root'], 'provisioner pin and unpin', () => {
  it('keep images from prunes, let them go again, and print the digests', async () => {
    const { lines, json, v1, v2, names } = await filledStore();
    expect(await lines('pin', 'app:v1', v2)).toEqual([v1, v2]);
    expect(((await json('images')) as { pinned: boolean }[]).map(({ pinned }) => pinned)).toEqual([true, true]);
    await lines('prune');
    expect(await names()).toHaveLength(2);
    expect(await json('unpin', 'app:v2')).toEqual([{ id: v2, pinned: false }]);
    await lines('prune');
    expect(await names()).toEqual([V1]);
  });

  it('go on after an image that is not there, and end with status 1', async () => {
    const { run, v1 } = await filledStore();
    for (const [command, pinned] of [
      ['pin', true],
      ['unpin', false],
    ] as const) {
      const { status, stdout, stderr } = await run([command, 'nope', 'app:v1', '--json']);
      expect(status).toBe(1);
      expect(JSON.parse(stdout)).toEqual([{ id: v1, pinned }]);
      expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'ERR_IMAGE_NOT_FOUND' } });
    }
  });
});

describeWith(['root', 'overlay'], 'provisioner why', () => {
  it('tells the chain that keeps an image and a layer', async () => {
    const { lines, json, v1 } = await filledStore();
    await lines('provision', 'job', 'app:v1');
    await lines('pin', 'app:v1');
    const [first, ...reasons] = await lines('why', 'app:v1');
    expect(first).toMatch(new RegExp(`^image {2}${v1} {2}${V1} {2}[\\d.]+kB$`));
    expect(reasons).toEqual(['  pinned', '  used by container job of default']);

    const images = (await json('images')) as { id: string; layers: string[] }[];
    const layers = images.map((image) => image.layers);
    const shared = layers[0]?.find((layer) => layers[1]?.includes(layer)) as string;
    const chain = await lines('why', shared.slice(7, 30));
    expect(chain[0]).toMatch(new RegExp(`^layer {2}${shared} {2}`));
    expect(chain).toContain(`  a layer of image ${V1}`);
    expect(chain).toContain('    pinned');
    expect(chain).toContain('    which nothing keeps');
    expect(await json('why', shared)).toEqual({
      kind: 'layer',
      id: shared,
      names: [],
      bytes: expect.any(Number),
      reasons: expect.arrayContaining([
        {
          kind: 'image',
          image: v1,
          names: [V1],
          because: [{ kind: 'pinned' }, { kind: 'container', container: 'job', owner: 'default' }],
        },
        { kind: 'container', container: 'job', owner: 'default' },
      ]),
    });
    await lines('destroy', 'job');
  });

  it('says when nothing keeps it, and what is not there', async () => {
    const { lines, run } = await filledStore();
    expect(await lines('why', 'app:v1')).toEqual([
      expect.stringMatching(/^image /),
      '  nothing keeps it: the next prune takes it unless it is told not to',
    ]);
    const { status, stderr } = await run(['why', 'nope']);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^provisioner: no image "nope" in this store\nhint: /);
  });
});

describeWith(['root', 'overlay'], 'provisioner recover', () => {
  const nothing = {
    launches: { running: [], ended: [], lost: [], undone: [], removed: [], swept: [] },
    recordsGap: null,
    droppedLeases: [],
    forgottenLayers: [],
    forgottenImages: [],
    retired: [],
    remounted: [],
    finished: [],
    destroyed: [],
    untrusted: [],
    kept: [],
    failed: [],
    foreign: [],
  };

  it('has nothing to do on a sound store', async () => {
    const { lines, json } = await filledStore();
    expect(await lines('recover')).toEqual(['nothing to put right']);
    expect(await json('recover')).toEqual(nothing);
  });

  it('mounts known containers again after a reboot and destroys the others, of its owner only', async () => {
    const { lines, json, root } = await filledStore();
    const [known = ''] = await lines('provision', 'known', 'app:v1');
    const [other = ''] = await lines('provision', 'other', 'app:v1', '--owner', 'ci');
    await lines('provision', 'unknown', 'app:v1');
    writeFileSync(join(known, 'mine'), 'mine');
    await unmountAll(root);
    expect(await lines('recover', '--known', 'known')).toEqual([
      `mounted ${known} again`,
      'destroyed container unknown',
    ]);
    expect(readFileSync(join(known, 'mine'), 'utf8')).toBe('mine');
    expect(await json('recover', '--owner', 'ci')).toEqual({ ...nothing, remounted: [other] });
    expect(await json('recover', '--destroy-unknown')).toEqual({ ...nothing, destroyed: ['known'] });
    expect(await json('recover', '--destroy-unknown', '--owner', 'ci')).toEqual({ ...nothing, destroyed: ['other'] });
    expect(readdirSync(join(root, 'containers'))).toEqual([]);
  });

  it('names what it leaves alone, and refuses an id that is none', async () => {
    const { lines, run, root } = await filledStore();
    const notes = join(root, 'layers', 'notes');
    writeFileSync(notes, '');
    expect(await lines('recover')).toEqual([`left ${notes} alone: it is no part of a store`]);
    const { status, stderr } = await run(['recover', '--known', '../x', '--json']);
    expect(status).toBe(1);
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'ERR_BAD_CONTAINER_ID' } });
  });
});

describeWith(['root', 'overlay'], 'the option --unsafe-no-sync', () => {
  it('changes nothing that can be seen, before or after the command', async () => {
    const { lines } = newStore();
    await lines('--unsafe-no-sync', 'pull', APP_V1);
    await lines('provision', 'job', 'app:v1', '--backend', 'copy', '--unsafe-no-sync');
    await lines('destroy', 'job', '--unsafe-no-sync');
    expect((await lines('prune', '--unsafe-no-sync')).at(-1)).toMatch(/^removed 1 image/);
  });
});
