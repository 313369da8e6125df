import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { APP_V1, filledStore, newStore, pulledStore } from '../cli/run-cli.js';
import { describeWith } from '../helpers/requirements.js';

const sh = (command: string, ...args: string[]) => execFileSync(command, args, { stdio: 'pipe' }).toString();

/** How something is made to resist, and what a command is run within for that. */
interface Resistance {
  readonly within?: readonly string[];
  readonly undo?: () => void;
}

const undone: (() => void)[] = [];
afterEach(() => {
  for (const undo of undone.splice(0)) undo();
});

/** As a disk or a file system that fails just there: the kernel's answer to one kind of call that names the path, or goes by a descriptor of it. */
const answering = (errno: string, calls: string) => (path: string) => ({
  within: [
    ...['strace', '-f', '--seccomp-bpf', '-qq', '-o', '/dev/null', '-P', path],
    ...['-e', `trace=${calls}`, '-e', `inject=${calls}:error=${errno}`],
  ],
});

const withoutCapability = (name: string) => ['setpriv', `--bounding-set=-${name}`, `--inh-caps=-${name}`];

function immutable(path: string): Resistance {
  sh('chattr', '+i', path);
  const undo = () => void sh('chattr', '-i', path);
  return { undo, within: withoutCapability('linux_immutable') };
}

function mounted(path: string): Resistance {
  sh('mount', '--bind', path, path);
  const undo = () => void sh('umount', path);
  return { undo, within: withoutCapability('sys_admin') };
}

const MOVES = '?rename,?renameat,renameat2';
const DELETES = '?unlink,unlinkat';

const HOW: Readonly<Record<string, (calls: string) => (path: string) => Resistance>> = {
  EPERM: () => immutable,
  EBUSY: () => mounted,
  EXDEV: (calls) => answering('EXDEV', calls),
  EROFS: (calls) => answering('EROFS', calls),
  EIO: (calls) => answering('EIO', calls),
};
const ERRNOS = Object.keys(HOW);

/** Makes it resist until the test or `undo` ends that. */
function resisting(errno: string, path: string, calls: string): Required<Resistance> {
  const { within = [], undo = () => {} } = (HOW[errno] as (typeof HOW)[string])(calls)(path);
  let done = false;
  const once = () => {
    if (!done) undo();
    done = true;
  };
  undone.push(once);
  return { within, undo: once };
}

/** As `resisting`, of a layer: what is on it root leaves there, so that no capability has to be missing. */
function resistingLayer(errno: string, path: string): Required<Resistance> {
  const { within, undo } = resisting(errno, path, MOVES);
  return { within: within[0] === 'setpriv' ? [] : within, undo };
}

/** A line that tells of it, and only one. */
function expectTold(stderr: string, path: string): void {
  expect(stderr.split('\n').filter((line) => line.startsWith('provisioner: ') && line.includes(path))).toHaveLength(1);
  expect(stderr).not.toContain('unexpected');
}

function makeThree(directory: string, suffix: string): string {
  for (const name of ['a', 'bad', 'z']) {
    const tree = join(directory, name + suffix);
    mkdirSync(tree, { mode: 0o700 });
    writeFileSync(join(tree, 'file'), 'x');
  }
  return join(directory, `bad${suffix}`);
}

/** A store with three containers that are no mounts. */
function storeOfThree() {
  return filledStore('three containers', async ({ lines }) => {
    await lines('pull', APP_V1, '--name', 'app:v1');
    for (const id of ['a', 'bad', 'z']) await lines('provision', id, 'app:v1', '--backend', 'copy');
  });
}

describeWith(['root', 'mount', 'strace'], 'one layer that cannot be moved', () => {
  test.each(ERRNOS)('for %s stays with its record; prune takes the others, says so, and pulls go on', async (errno) => {
    const { run, lines, json, root } = await pulledStore(APP_V1, '--name', 'app:v1');
    const [bad = '', ...others] = readdirSync(join(root, 'layers'));
    expect(others).not.toEqual([]);
    const path = join(root, 'layers', bad);
    const { within, undo } = resistingLayer(errno, path);
    const pruned = await run(['prune'], { within });
    expect(pruned.status).toBe(1);
    expectTold(pruned.stderr, path);
    expect(pruned.stdout).toContain('its directory cannot be taken away');
    expect(pruned.stdout).toContain(`removed 1 images and ${others.length} layers`);
    expect(readdirSync(join(root, 'layers'))).toEqual([bad]);
    // Records and directories agree: a check has nothing to say, and a repair nothing to claim.
    expect(await json('check', '--repair')).toMatchObject({ findings: [], layers: 1, sound: true });
    expect((await run(['pull', APP_V1, '--name', 'app:v1'], { within })).status).toBe(0);
    const again = await run(['prune', '--json'], { within });
    expect(again.status).toBe(1);
    expect(JSON.parse(again.stdout)).toMatchObject({
      removed: { layers: others.map(() => ({})) },
      failed: [{ path, code: expect.stringMatching(/^ERR_(PERMISSION|IO|READ_ONLY)$/) }],
    });
    undo();
    expect(await lines('prune')).toContainEqual(expect.stringMatching(/removed 0 images and 1 layers/));
    expect(readdirSync(join(root, 'layers'))).toEqual([]);
  });

  test.each(ERRNOS)('for %s and that no record names is told by recover, and a pull takes it up', async (errno) => {
    const { run, root } = await pulledStore(APP_V1, '--name', 'app:v1');
    const [bad = '', ...others] = readdirSync(join(root, 'layers'));
    const { Driver } = await import('../metadata/sqlite-files.js');
    const database = new Driver(join(root, 'metadata.sqlite'));
    for (const table of ['image_name', 'index_choice', 'image_document', 'image', 'stack_layer', 'stack', 'layer'])
      database.exec(`DELETE FROM ${table}`);
    database.close();
    const path = join(root, 'layers', bad);
    const { within, undo } = resistingLayer(errno, path);
    const repaired = await run(['check', '--repair'], { within });
    expect(repaired.status).toBe(1);
    expect(repaired.stdout.match(/^ {2}repaired: /gm) ?? []).toHaveLength(others.length);
    expect(repaired.stdout.match(/^ {2}not repaired: /gm)).toHaveLength(1);
    expect(readdirSync(join(root, 'layers'))).toEqual([bad]);
    const recovered = await run(['recover'], { within });
    // What is mounted may be in use, and is left alone for that.
    if (errno === 'EBUSY') expect(recovered.stdout).toContain(`left ${path} alone`);
    else {
      expect(recovered.status).toBe(1);
      expectTold(recovered.stderr, path);
    }
    expect((await run(['pull', APP_V1, '--name', 'app:v1'], { within })).status).toBe(0);
    undo();
    expect(readdirSync(join(root, 'layers')).sort()).toEqual([bad, ...others].sort());
    expect((await run(['check', '--full'])).status).toBe(0);
  });

  test('because it lies below an overlay that moves no directories stays with its record, and prune says so', async () => {
    const { run, root } = newStore();
    const place = join(root, '..');
    const lower = await pulledStore(APP_V1, '--name', 'app:v1');
    const bad = readdirSync(join(lower.root, 'layers'));
    for (const name of ['upper', 'work', 'store']) mkdirSync(join(place, name), { mode: 0o700 });
    const options = `lowerdir=${lower.root},upperdir=${join(place, 'upper')},workdir=${join(place, 'work')},redirect_dir=off`;
    sh('mount', '-t', 'overlay', 'x', '-o', options, root);
    const pruned = await run(['prune']);
    expect(pruned.status).toBe(1);
    for (const name of bad) expectTold(pruned.stderr, join(root, 'layers', name));
    expect(pruned.stderr).toContain('below an overlay that does not move directories');
    const { findings } = JSON.parse((await run(['check', '--json'])).stdout) as { findings: { code: string }[] };
    expect(findings.map(({ code }) => code)).not.toContain('LAYER_UNRECORDED');
    expect(findings.map(({ code }) => code)).not.toContain('LAYER_MISSING');
    sh('umount', root);
  });
});

describeWith(
  ['root', 'mount', 'strace'],
  'one directory that a dead process left in staging and that cannot be moved',
  () => {
    test.each(ERRNOS)('for %s is told by recover, which takes the others', async (errno) => {
      const { run, lines, root } = await pulledStore(APP_V1);
      const bad = makeThree(join(root, 'staging'), '');
      const { within, undo } = resisting(errno, bad, MOVES);
      const recovered = await run(['recover'], { within });
      expect(recovered.status).toBe(1);
      expectTold(recovered.stderr, bad);
      expect(readdirSync(join(root, 'staging'))).toEqual(['bad']);
      undo();
      await lines('recover');
      expect(readdirSync(join(root, 'staging'))).toEqual([]);
    });
  },
);

describeWith(['root', 'mount', 'strace'], 'one root filesystem that cannot be taken apart', () => {
  test.each(
    ERRNOS.flatMap(
      (errno) =>
        [
          [errno, ['destroy', 'a', 'bad', 'z']],
          [errno, ['recover', '--destroy-unknown']],
        ] as const,
    ),
  )('for %s is told by %j, stays recorded, and the other containers go', async (errno, args) => {
    const { run, lines, json, root } = await storeOfThree();
    const [, { rootfses: [{ rootfs: path = '' } = {}] = [] } = {}] = (await json('ps')) as {
      rootfses: { rootfs: string }[];
    }[];
    const { within, undo } = resisting(errno, path, MOVES);
    const done = await run(args, { within });
    expect(done.status).toBe(1);
    expect(done.stderr.split('\n').filter((line) => line.includes(join(root, 'containers/bad')))).not.toEqual([]);
    expect(done.stderr).not.toContain('unexpected');
    expect(await json('ps')).toMatchObject([{ id: 'bad' }]);
    expect(existsSync(join(path, 'etc'))).toBe(true);
    expect((await run(['check'])).status).toBe(0);
    undo();
    expect(await lines('destroy', 'bad')).toEqual(['bad']);
    expect(readdirSync(join(root, 'containers'))).toEqual([]);
    expect(readdirSync(join(root, 'gc'))).toEqual([]);
  });
});

describeWith(['root', 'mount', 'strace'], 'one entry of gc that cannot be deleted', () => {
  test.each(
    ERRNOS.filter((errno) => errno !== 'EXDEV').flatMap(
      (errno) =>
        [
          [errno, 'prune'],
          [errno, 'recover'],
        ] as const,
    ),
  )('for %s stays there, and %s deletes the others and tells of it', async (errno, command) => {
    const { run, lines, root } = await pulledStore(APP_V1);
    const bad = makeThree(join(root, 'gc'), '.2');
    const { within, undo } = resisting(errno, bad, DELETES);
    const done = await run([command], { within });
    expect(done.status).toBe(1);
    expectTold(done.stderr, bad);
    expect(done.stderr).not.toContain('warning: ');
    expect(readdirSync(join(root, 'gc'))).toEqual(['bad.2']);
    undo();
    await lines(command);
    expect(readdirSync(join(root, 'gc'))).toEqual([]);
  });
});

describeWith(['root', 'strace'], 'one layer that cannot be read', () => {
  test('is damage that check tells of, and all others are compared', async () => {
    const { run, root } = await pulledStore(APP_V1, '--name', 'app:v1');
    const [bad = '', ...others] = readdirSync(join(root, 'layers'));
    const { within } = answering('EIO', 'statx')(join(root, 'layers', bad));
    const { status, stdout, stderr } = await run(['check'], { within });
    expect({ status, told: stdout.match(/^damage: .*$/gm) }).toEqual({
      status: 1,
      told: [`damage: layer sha256:${bad} differs from what was unpacked in 1 way`],
    });
    expect(stdout).toContain('the directory: unreadable: expected readable, found EIO');
    expect(stdout).toContain(`check of ${others.length + 1} layers`);
    expect(stderr).not.toContain('unexpected');
  });
});

describeWith(['root', 'strace'], 'a damaged layer that cannot be moved', () => {
  test('is not called repaired, and the other damaged one is', async () => {
    const { run, lines, root } = await pulledStore(APP_V1, '--name', 'app:v1');
    const [bad = '', other = ''] = readdirSync(join(root, 'layers'));
    for (const name of [bad, other]) writeFileSync(join(root, 'layers', name, 'rootfs/more'), '');
    const { undo } = resistingLayer('EPERM', join(root, 'layers', bad));
    const { status, stdout } = await run(['check', '--repair']);
    expect(status).toBe(1);
    expect(stdout.match(/^ {2}repaired: /gm)).toHaveLength(1);
    expect(stdout.match(/^ {2}not repaired: .*EPERM/gm)).toHaveLength(1);
    expect(stdout).toContain('2 damaged, 1 healed');
    undo();
    await lines('check', '--repair');
    expect(await lines('check', '--full')).toContainEqual(expect.stringContaining('no damage'));
  });
});
