// @ts-check
/*
 * node scenario.mjs ROOT LAYOUT LIBRARY [leave]: all that a store is for, once, on whatever file system and as whatever user this runs; prints as JSON how each
 * step ended, and what of the image arrived in the rootfses. It decides nothing.
 *
 * With `leave` it ends with both images and a container of them there.
 *
 * The layout has two images: `whole`, with all that an image can ask for, and `plain`, of one layer without whiteouts, which the bind backend can show.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [root = '', layout = '', library = '', leave] = process.argv.slice(2);
const { Provisioner } = await import(library);

/** @type {Record<string, unknown>} */
const outcome = {};
/** @param {string} name @param {() => unknown} work */
const step = async (name, work) => {
  try {
    outcome[name] = (await work()) ?? 'ok';
    return true;
  } catch (error) {
    outcome[name] = /** @type {{ code?: string }} */ (error).code ?? String(error);
    outcome[`${name}: why`] = String(error);
    return false;
  }
};

/** @type {import('../../dist/index.js').Provisioner | undefined} */
let opened;
await step('open', async () => {
  opened = await Provisioner.open({ root });
});
if (opened !== undefined) await run(opened);
console.log(JSON.stringify(outcome));

/** @param {import('../../dist/index.js').Provisioner} p */
async function run(p) {
  await step('pull', async () => {
    await p.images.pull(`oci:${layout}:whole`, { name: 'whole' });
    await p.images.pull(`oci:${layout}:plain`, { name: 'plain' });
  });
  outcome['format'] = (await p.store.info()).format;
  if (leave !== undefined) {
    await step('provision', () => p.provision('kept', 'whole', { backend: 'copy' }).then(() => undefined));
    await step('close', () => p.close());
    return;
  }
  for (const [backend, image] of [
    ['overlay', 'whole'],
    ['copy', 'whole'],
    ['bind', 'plain'],
    ['auto', 'whole'],
  ]) {
    const made = await step(String(backend), async () => {
      const options = { backend: /** @type {any} */ (backend) };
      const { rootfs, backend: chosen } = await p.provision(`c-${backend}`, String(image), options);
      if (backend !== 'bind') Object.assign(outcome, seen(`${backend}: `, rootfs));
      return backend === 'auto' ? chosen : undefined;
    });
    if (made) await step(`${backend}: destroy`, () => p.destroy(`c-${backend}`).then((was) => void was));
  }
  await step('check', async () => {
    await p.store.swept();
    const { findings } = await p.store.check({ full: true });
    return findings.map(({ code }) => code).join(' ') || undefined;
  });
  await step('provision again', async () => {
    await p.provision('kept', 'whole');
  });
  await step('prune', async () => {
    const { images } = await p.pruneImages();
    const gone = images.filter(({ reasons }) => reasons.length === 0).length;
    await p.store.swept();
    return gone === 1 ? undefined : `took ${gone} of 2 images`;
  });
  await step('recover', async () => {
    const { failed = [] } = /** @type {{ failed?: unknown[] }} */ (/** @type {unknown} */ (await p.recover()));
    return failed.length > 0 ? JSON.stringify(failed) : undefined;
  });
  await step('destroy', () => p.destroy('kept').then((was) => (was ? undefined : 'was not there')));
  await step('prune all', async () => {
    await p.pruneImages();
    await p.store.swept();
    const left = ['layers', 'containers', 'staging', 'gc'].flatMap((name) => readdirSync(join(root, name)));
    return left.length > 0 ? `left ${left.join(' ')}` : undefined;
  });
  await step('close', () => p.close());
}

/** What of the image is in a rootfs. @param {string} prefix @param {string} rootfs */
function seen(prefix, rootfs) {
  const at = (/** @type {string} */ path) => join(rootfs, path);
  const owner = statSync(at('owned'));
  const setuid = statSync(at('setuid'));
  const times = statSync(at('timed'), { bigint: true });
  return {
    [`${prefix}whiteouts`]: !existsSync(at('gone')) && readdirSync(at('opaque')).join() === 'new',
    [`${prefix}owners`]: `${owner.uid}:${owner.gid}` === '1000:1001',
    [`${prefix}setuid`]: (setuid.mode & 0o4000) !== 0 ? `of ${setuid.uid}` : 'cleared',
    [`${prefix}device`]: existsSync(at('null')) && lstatSync(at('null')).isCharacterDevice(),
    [`${prefix}fifo`]: existsSync(at('fifo')) && lstatSync(at('fifo')).isFIFO(),
    [`${prefix}nanoseconds`]: times.mtimeNs % 1_000_000_000n === 123_456_789n,
    [`${prefix}xattr`]: xattr(at('marked')),
    [`${prefix}hard link`]: lstatSync(at('one')).ino === lstatSync(at('other')).ino,
    [`${prefix}writable`]: writes(at('written')),
  };
}

/** @param {string} path */
function xattr(path) {
  try {
    return execFileSync('getfattr', ['--only-values', '-n', 'user.mark', path], { stdio: 'pipe' }).toString() === 'yes';
  } catch {
    return false;
  }
}

/** @param {string} path */
function writes(path) {
  try {
    writeFileSync(path, 'x');
    return true;
  } catch {
    return false;
  }
}
