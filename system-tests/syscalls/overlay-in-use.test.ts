import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { otherProcess } from '../helpers/other-process.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';

const SYSCALLS = new URL('../../build/system/syscalls/load-syscalls.js', import.meta.url).href;

/** Directories of an overlay below a path of the length given, at least. */
function overlayAt(length = 0) {
  let place = temporaryDirectory();
  while (place.length < length) place = join(place, 'with,a:name\\'.padEnd(200, 'x'));
  const at = (name: string) => join(place, name);
  for (const name of ['lower', 'upper', 'work', 'target']) mkdirSync(at(name), { recursive: true });
  const paths = { upper: at('upper'), work: at('work') };
  return { ...paths, lower: [at('lower')], target: at('target'), paths, userXattr: false };
}

/** Everything below a directory with its extended attributes. */
function everything(directory: string): string {
  const list = `cd "$0" && find . | sort && getfattr --absolute-names -h -R -d -m - .`;
  return execFileSync('sh', ['-c', list, directory], { encoding: 'utf8' });
}

describeWith(['root', 'overlay'], 'whether an overlay is in use', () => {
  test.each([
    ['at a short path', 0],
    ['at a path that no mount option would hold', 3000],
  ])(
    'is told %s: not before it is mounted, while it is, while it is detached and busy, and not any more',
    (_, length) => {
      const calls = loadSyscalls();
      const { paths, ...mount } = overlayAt(length);
      expect(calls.isOverlayInUse(paths)).toBe(false);
      calls.mountOverlay(mount);
      expect(calls.isOverlayInUse(paths)).toBe(true);
      writeFileSync(join(mount.target, 'file'), 'x');
      const busy = openSync(join(mount.target, 'file'), 'r');
      calls.detachMount(mount.target);
      expect(calls.isOverlayInUse(paths)).toBe(true);
      closeSync(busy);
      expect(calls.isOverlayInUse(paths)).toBe(false);
    },
  );

  test('is told of the work directory too', () => {
    const calls = loadSyscalls();
    const { paths, ...mount } = overlayAt();
    const other = overlayAt();
    calls.mountOverlay(mount);
    expect(calls.isOverlayInUse({ upper: join(dirname(paths.upper), 'lower'), work: paths.work })).toBe(true);
    expect(calls.isOverlayInUse(other.paths)).toBe(false);
    calls.detachMount(mount.target);
  });

  test('is asked without leaving anything but the directory that each mount makes', () => {
    const { paths } = overlayAt();
    const place = dirname(paths.upper);
    mkdirSync(join(paths.work, 'work'), { mode: 0 });
    writeFileSync(join(paths.upper, 'changed'), 'x');
    const before = everything(place);
    for (let time = 0; time < 3; time++) expect(loadSyscalls().isOverlayInUse(paths)).toBe(false);
    expect(everything(place)).toBe(before);
    expect(readdirSync(paths.upper)).toEqual(['changed']);
  });

  test('is told in a user namespace, of a mount with marks of its own kind', async () => {
    const { paths, ...mount } = overlayAt();
    const other = otherProcess(
      join(temporaryDirectory(), 'store'),
      `const { loadSyscalls } = await import('${SYSCALLS}');
       const calls = loadSyscalls();
       const paths = ${JSON.stringify({ ...paths, userXattr: true })};
       const before = calls.isOverlayInUse(paths);
       calls.mountOverlay(${JSON.stringify({ ...mount, userXattr: true })});
       say([before, calls.isOverlayInUse(paths)].join()); await p.close();`,
      { within: ['unshare', '--user', '--map-root-user', '--mount', '--propagation', 'private'], records: 'memory' },
    );
    expect(await other.done).toEqual(['false,true']);
  });

  test('is not told to somebody who may not mount', async () => {
    const { paths } = overlayAt();
    const other = otherProcess(
      join(temporaryDirectory(), 'store'),
      `const { loadSyscalls } = await import('${SYSCALLS}');
       say(String(loadSyscalls().isOverlayInUse(${JSON.stringify(paths)}))); await p.close();`,
      { within: ['setpriv', '--bounding-set', '-all', '--inh-caps', '-all'], records: 'memory' },
    );
    expect(await other.done).toEqual(['undefined']);
  });
});
