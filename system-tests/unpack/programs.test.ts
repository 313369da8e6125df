import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  buildImage,
  buildLayer,
  buildTar,
  dockerFiles,
  packFiles,
} from '../../native-free-tests/helpers/image-builder.js';
import { useLayers } from '../../native-free-tests/helpers/layers.js';
import { newStore } from '../cli/run-cli.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';

const content = Buffer.from(Array.from({ length: 60_000 }, (_, line) => `line ${line * 7919}\n`).join(''));
const tar = buildTar([{ path: 'd/' }, { path: 'd/file', content }, { path: 'e', content: 'abc' }]);
const NAME = 'docker.io/library/app:v1';
const archive = packFiles(
  dockerFiles([{ image: buildImage([buildLayer([{ path: 'a', content }])]), tags: ['app:v1'] }]),
);
const MAX_BUFFER = 1 << 26;

describeWith(['xz', 'bzip2'], 'layers and archives that programs of the system inflate', () => {
  const layers = useLayers();
  const compressed = (program: string, bytes: Buffer, ...args: string[]): Buffer =>
    execFileSync(program, ['-c', ...args], { input: bytes, maxBuffer: MAX_BUFFER });

  it.each(['xz', 'bzip2'])('are read: %s', async (program) => {
    const parts = [compressed(program, tar.subarray(0, 5000)), compressed(program, tar.subarray(5000))];
    for (const blob of [compressed(program, tar), Buffer.concat(parts)]) {
      const { tree } = await layers.unpack(tar, { blob });
      expect(tree['e']).toBe('file 644 abc');
      expect(tree['d/file']).toBe(`file 644 (${content.length} bytes)`);
    }
    expect((await layers.unpack(buildTar([]), { blob: compressed(program, buildTar([])) })).entries).toBe(0);
  });

  it('may be followed by what the program takes: nothing of xz but zeros, anything of bzip2', async () => {
    const xz = compressed('xz', tar);
    const bzip2 = compressed('bzip2', tar);
    for (const blob of [Buffer.concat([xz, Buffer.alloc(1024)]), Buffer.concat([bzip2, Buffer.from('something')])])
      expect((await layers.unpack(tar, { blob })).entries).toBe(3);
    const refused = await layers.refusal(tar, { blob: Buffer.concat([xz, Buffer.alloc(1000, 'x')]) });
    expect(refused).toMatchObject({ code: 'ERR_LAYER_MALFORMED', message: expect.stringContaining('xz data') });
  });

  it.each(['xz', 'bzip2'])('are refused where they are cut or damaged: %s', async (program) => {
    const whole = compressed(program, tar);
    for (const length of [20, whole.length >> 1, whole.length - 1])
      expect((await layers.refusal(tar, { blob: whole.subarray(0, length) })).code).toBe('ERR_LAYER_TRUNCATED');
    const damaged = Buffer.from(whole);
    damaged.fill('x', whole.length >> 1, (whole.length >> 1) + 20);
    // What is damaged may ask for more than there is.
    expect((await layers.refusal(tar, { blob: damaged })).code).toMatch(/^ERR_LAYER_(MALFORMED|TRUNCATED)$/);
  });

  it('are refused when they want more memory than they may have', async () => {
    const blob = compressed('xz', tar, '--lzma2=dict=512MiB');
    expect(await layers.refusal(tar, { blob })).toMatchObject({
      code: 'ERR_LIMIT_EXCEEDED',
      message: expect.stringContaining('more memory'),
    });
    expect((await layers.unpack(tar, { blob: compressed('xz', tar, '-9e') })).entries).toBe(3);
  });

  it.each(['xz', 'bzip2'])('are loaded from a file and from a pipe: %s', async (program) => {
    const file = join(temporaryDirectory(), `app.tar.${program}`);
    writeFileSync(file, compressed(program, archive));
    const { lines, run } = newStore();
    expect(await lines('load', '-i', file)).toEqual([NAME]);
    expect((await run(['load'], { input: readFileSync(file) })).stdout).toBe(`${NAME}\n`);
    expect(await lines('pull', `docker-archive:${file}`)).toHaveLength(1);
    writeFileSync(file, compressed(program, archive).subarray(0, 9000));
    const cut = await run(['load', '-i', file]);
    expect([cut.status, cut.stderr]).toEqual([
      1,
      expect.stringContaining(`truncated: its ${program} data ends too early`),
    ]);
  });

  it('are told with what to install where there is no program for them', async () => {
    const file = join(temporaryDirectory(), 'app.tar.xz');
    writeFileSync(file, compressed('xz', archive));
    const { status, stderr } = await newStore().run(['load', '-i', file], { env: { PATH: temporaryDirectory() } });
    expect(status).toBe(1);
    expect(stderr).toContain(
      `${file} is compressed with xz, and the program \`xz\` that undoes that is not installed\n`,
    );
    expect(stderr).toContain('install the package xz-utils');
  });
});
