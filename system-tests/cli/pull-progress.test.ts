import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { buildImage, buildLayer, writeOciLayout } from '../../native-free-tests/helpers/image-builder.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';
import { newStore } from './run-cli.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

async function source(): Promise<{ readonly source: string; readonly id: string }> {
  const layout = join(temporaryDirectory(), 'layout');
  // Large enough to be at it for some redraws.
  const files = (letter: string) =>
    Array.from({ length: 4000 }, (_, n) => ({ path: `${letter}${n}`, content: randomBytes(1000) }));
  const image = buildImage([buildLayer(files('a')), buildLayer(files('b'))]);
  await writeOciLayout(layout, [{ image, refName: 'app:v1' }]);
  return { source: `oci:${layout}`, id: image.manifest.descriptor.digest };
}

/** Runs the command line on a terminal of its own. @returns all that it wrote there */
function onTerminal(
  root: string,
  args: readonly string[],
  term = 'xterm',
): { readonly status: number | null; readonly text: string } {
  const command = ['stty rows 24 cols 100;', 'exec', process.execPath, MAIN, ...args].join(' ');
  const log = join(temporaryDirectory(), 'typescript');
  const { status, stdout } = spawnSync('script', ['--quiet', '--return', '--command', command, log], {
    env: { PATH: process.env['PATH'], PROVISIONER_ROOT: root, TERM: term },
    encoding: 'utf8',
  });
  return { status, text: stdout };
}

describeWith(['root', 'script'], 'a pull on a terminal', () => {
  it('has a bar for each layer with its bytes, speed and phase, and leaves a line for each', async () => {
    const image = await source();
    const { status, text } = onTerminal(newStore().root, ['pull', image.source]);
    expect(status).toBe(0);
    const bars =
      text.match(
        /[0-9a-f]{12} \[[=> ]{40}\] +[\d.]+[kM]?B\/[\d.]+MB +[\d.]+[kM]?B\/s (?:waiting|unpacking|unpacked)/g,
      ) ?? [];
    expect(new Set(bars.map((bar) => bar.slice(0, 12))).size).toBe(2);
    expect(text.match(/layer [0-9a-f]{12}: done in/g)).toHaveLength(2);
    expect(text).toMatch(/image [0-9a-f]{12}: done in [\d.]+s\r\n/);
    expect(text.trimEnd().split('\r\n').at(-1)).toContain(image.id);
    // Neither the cursor is hidden nor wrapping switched off: nothing has to be put right after a process that was killed.
    expect(text).not.toContain('\x1b[?');
  });

  it.each([
    ['--quiet', ['--quiet'], 'xterm'],
    ['--json', ['--json'], 'xterm'],
    ['--progress none', ['--progress', 'none'], 'xterm'],
  ] as const)('shows nothing with %s', async (_, options, term) => {
    const image = await source();
    const { status, text } = onTerminal(newStore().root, ['pull', image.source, ...options], term);
    expect(status).toBe(0);
    expect(text).not.toContain('\x1b');
    expect(text).not.toContain('unpacking');
  });

  it.each([
    ['that can do nothing else', [], 'dumb'],
    ['with --progress plain', ['--progress', 'plain'], 'xterm'],
  ] as const)('%s is told in lines', async (_, options, term) => {
    const image = await source();
    const { text } = onTerminal(newStore().root, ['pull', image.source, ...options], term);
    expect(text).not.toContain('\x1b');
    expect(text.match(/layer [0-9a-f]{12}: unpacking/g)).toHaveLength(2);
  });
});

describeWith(['root'], 'a pull elsewhere', () => {
  it('is told in lines, also when bars are asked for', async () => {
    const image = await source();
    const { stderr } = await newStore().run(['pull', image.source, '--progress', 'bar']);
    expect(stderr).not.toContain('\x1b');
    expect(stderr.match(/layer [0-9a-f]{12}: unpacking/g)).toHaveLength(2);
  });

  it('is told in JSON lines on request, beside the one document on stdout', async () => {
    const image = await source();
    const { status, stdout, stderr } = await newStore().run(['pull', image.source, '--json', '--progress', 'json']);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject([{ id: image.id }]);
    const events = stderr
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).progress);
    expect(events.at(0)).toMatchObject({ type: 'pullStarted', image: image.id, layers: 2 });
    expect(events.at(-1)).toMatchObject({ type: 'pullFinished', image: image.id });
    const layer = events.filter(({ type }) => type === 'layerProgress');
    expect(new Set(layer.map(({ phase }) => phase))).toEqual(new Set(['waiting', 'unpacking', 'done']));
    for (const event of layer) {
      expect(event).toMatchObject({
        bytes: expect.any(Number),
        total: expect.any(Number),
        bytesPerSecond: expect.any(Number),
      });
    }
  });

  it('tells in JSON lines why it failed', async () => {
    const { status, stderr } = await newStore().run(['pull', 'localhost:1/app', '--progress', 'json']);
    expect(status).toBe(1);
    const [first] = stderr.split('\n');
    expect(JSON.parse(first as string)).toMatchObject({
      progress: { type: 'pullFailed', error: { code: 'ERR_REGISTRY_UNREACHABLE' } },
    });
  });
});
