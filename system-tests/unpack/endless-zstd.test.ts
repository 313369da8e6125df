import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { buildImage, buildLayer, sha256, writeOciLayout } from '../../native-free-tests/helpers/image-builder.js';
import { ENDLESS } from '../../native-free-tests/helpers/zstd-samples.js';
import { describeWith } from '../helpers/requirements.js';

const LIBRARY = fileURLToPath(new URL('../../dist/index.js', import.meta.url));

/** Runs code with a provisioner `p` of one worker thread, without libzstd. @returns what it prints */
async function runAgent(root: string, code: string): Promise<string> {
  const whole = `
    import { Provisioner } from ${JSON.stringify(LIBRARY)};
    import { monitorEventLoopDelay } from 'node:perf_hooks';
    const p = await Provisioner.open({ root: ${JSON.stringify(root)}, workers: 1, unsafeNoSync: true });
    ${code}
    await p.close();
    console.log('closed');`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', whole], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env['PATH'], PROVISIONER_ZSTD: 'off' },
  });
  let printed = '';
  child.stdout.on('data', (text: Buffer) => {
    printed += text;
  });
  await once(child, 'close');
  return printed;
}

describeWith(['root'], 'zstd that the decoder in JavaScript goes round with', () => {
  let directory = '';
  /** What the agents print. Both wait for most of their time, for ends that the library sets: so they do at the same time. */
  let pulling: Promise<string>;
  let loading: Promise<string>;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'provisioner-endless-'));
    const [bad, good] = [join(directory, 'bad'), join(directory, 'good')];
    const layer = { ...buildLayer([{ path: 'a' }]), blob: ENDLESS, digest: sha256(ENDLESS) };
    await writeOciLayout(bad, [{ image: buildImage([layer]) }]);
    await writeOciLayout(good, [{ image: buildImage([buildLayer([{ path: 'b' }])]) }]);
    pulling = runAgent(
      join(directory, 'pulling'),
      `
      const a = new AbortController();
      const pull = p.images.pull('oci:${bad}', { signal: a.signal }).then(() => 'stored', (error) => error.code);
      setTimeout(() => a.abort(), 1000);
      console.log(await pull);
      const { id } = await p.images.pull('oci:${good}');
      console.log(typeof id);`,
    );
    const file = join(directory, 'bad.tar.zst');
    writeFileSync(file, ENDLESS);
    loading = runAgent(
      join(directory, 'loading'),
      `
      let ticks = 0;
      const timer = setInterval(() => ticks++, 20);
      console.log(await p.images.load('${file}').then(() => 'stored', (error) => error.code));
      clearInterval(timer);
      console.log(ticks > 50);`,
    );
  });
  afterAll(async () => {
    await Promise.allSettled([pulling, loading]);
    rmSync(directory, { recursive: true, force: true });
  });

  it('does not keep an agent with one worker from its other work, nor from closing', async () => {
    // Where Node has a decoder of its own, that one refuses it at once.
    expect(await pulling).toMatch(/^(ERR_ABORTED|ERR_LAYER_MALFORMED)\nstring\nclosed\n$/);
  });

  it('is refused as an archive, and the event loop goes on meanwhile', async () => {
    expect(await loading).toBe('ERR_SOURCE_MALFORMED\ntrue\nclosed\n');
  }, 60_000);
});
