import { execFileSync } from 'node:child_process';
import { createWriteStream, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import {
  buildImage,
  buildLayer,
  writeDockerArchive,
  writeOciLayout,
} from '../../native-free-tests/helpers/image-builder.js';
import { zstdCommand } from '../../native-free-tests/helpers/zstd-samples.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';
import { APP_V1, madeStore, newStore } from './run-cli.js';

function pipeIn(directory: string, name = 'pipe'): string {
  const path = join(directory, name);
  execFileSync('mkfifo', [path]);
  return path;
}

async function untilOpen(root: string): Promise<void> {
  for (;;) {
    try {
      if (readdirSync(root).includes('metadata.sqlite-wal')) break;
    } catch {
      // Not yet.
    }
    await sleep(10);
  }
  await sleep(200);
}

describeWith(['root'], 'a command that is given a named pipe', () => {
  it.each([
    ['load', (pipe: string) => ['load', '-i', pipe]],
    ['prune --apply', (pipe: string) => ['prune', '--apply', pipe]],
    ['prune --plan', (pipe: string) => ['prune', '--dry-run', '--plan', pipe]],
    ['pull docker-archive:', (pipe: string) => ['pull', `docker-archive:${pipe}`]],
    ['pull --authfile', (pipe: string) => ['pull', '127.0.0.1:1/app', '--authfile', pipe]],
  ])('can be interrupted while nobody is at the other end (%s)', async (_name, args) => {
    const { startWaiting, root } = await madeStore();
    const command = startWaiting(args(pipeIn(temporaryDirectory())));
    await untilOpen(root);
    command.process.kill('SIGINT');
    const { status, stderr } = await command.done;
    expect({ status, last: stderr.trimEnd().split('\n').at(-1) }).toEqual({
      status: 130,
      last: 'provisioner: cancelled by SIGINT',
    });
  });

  it('loads the archive that comes through it, compressed or not', async () => {
    const directory = temporaryDirectory();
    const file = join(directory, 'app.tar');
    await writeDockerArchive(file, [
      { image: buildImage([buildLayer([{ path: 'a', content: 'a' }])]), tags: ['app:v1'] },
    ]);
    const archive = execFileSync('cat', [file]);
    for (const bytes of [archive, gzipSync(archive), zstdCommand(archive)]) {
      const { start } = newStore();
      const pipe = pipeIn(temporaryDirectory());
      const load = start(['load', '-i', pipe]);
      createWriteStream(pipe).end(bytes);
      expect(await load.done).toMatchObject({ status: 0, stdout: 'docker.io/library/app:v1\n' });
    }
  });

  it('takes a plan through it, and writes one into it', async () => {
    const { run, start } = newStore();
    await run(['pull', APP_V1]);
    const [there, back] = [pipeIn(temporaryDirectory()), pipeIn(temporaryDirectory())];
    const planning = start(['prune', '--dry-run', '--plan', there]);
    const plan = execFileSync('cat', [there], { timeout: 20_000 });
    expect((await planning.done).status).toBe(0);
    const applying = start(['prune', '--apply', back]);
    createWriteStream(back).end(plan);
    expect((await applying.done).status).toBe(0);
  });
});

describeWith(['root'], 'a layout that somebody else can write', () => {
  it('is refused, and not waited for, when a blob that waits for its turn becomes a named pipe', async () => {
    const layout = join(temporaryDirectory(), 'layout');
    const files = (name: string, count: number) =>
      Array.from({ length: count }, (_, index) => ({ path: `${name}-${index}`, content: 'x' }));
    const large = [buildLayer(files('a', 8_000)), buildLayer(files('b', 8_000)), buildLayer(files('c', 8_000))];
    const last = buildLayer([{ path: 'small', content: 'small' }]);
    await writeOciLayout(layout, [{ image: buildImage([...large, last]), refName: 'app:v1' }]);
    const { start, root } = newStore();
    const pull = start(['pull', `oci:${layout}`, '--debug']);
    await pull.says('unpacking');
    const blob = join(layout, 'blobs/sha256', last.digest.slice('sha256:'.length));
    renameSync(blob, `${blob}.before`);
    execFileSync('mkfifo', [blob]);
    const { status, stderr } = await pull.done;
    expect(stderr).toContain('named pipe');
    expect(status).toBe(1);
    expect(readdirSync(join(root, 'staging'))).toEqual([]);
  });
});

describeWith(['root'], 'settings that are no files', () => {
  it.each(['hosts.toml', 'ca.crt'])('are refused by name when they are a named pipe (%s)', async (name) => {
    const { run } = newStore();
    const directory = join(temporaryDirectory(), '127.0.0.1:1');
    mkdirSync(directory);
    if (name === 'ca.crt') writeFileSync(join(directory, 'other.txt'), '');
    const pipe = pipeIn(directory, name);
    const { status, stderr } = await run(['pull', '127.0.0.1:1/app', '--hosts-dir', join(directory, '..')]);
    expect(status).toBe(1);
    expect(stderr).toContain(pipe);
    expect(stderr).toContain('named pipe');
  });

  it('count as none when the auth file is the null device', async () => {
    const { run } = newStore();
    const { stderr } = await run(['pull', '127.0.0.1:1/app', '--authfile', '/dev/null'], { env: {} });
    expect(stderr).not.toContain('/dev/null');
  });

  it('are refused when an archive is a device', async () => {
    const { run } = newStore();
    expect(await run(['load', '-i', '/dev/zero'])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('a device'),
    });
  });
});
