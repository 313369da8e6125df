import { chmodSync, closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { inflateByProgram } from '#src/system/compression/inflate-by-program.js';
import { takeFreely } from '#src/system/compression/window-memory.js';
import { failureOf, inflated, text } from '../../helpers/pieces.js';

/** Programs that do as the real ones, of which the system tests use those. */
let path = '';
let before: string | undefined;
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'programs-'));
  before = process.env['PATH'];
  process.env['PATH'] = path;
});
afterEach(() => {
  process.env['PATH'] = before;
  rmSync(path, { recursive: true, force: true });
});

/** @param script for `sh` */
function install(name: 'xz' | 'bzip2', script: string): void {
  writeFileSync(join(path, name), `#!/bin/sh\nPATH=${before}\n${script}\n`);
  chmodSync(join(path, name), 0o755);
}

const never = new AbortController().signal;
const inflate = (stored = text, signal = never): Promise<Buffer> =>
  inflated(stored, 1000, (pieces) => inflateByProgram(pieces, 'xz', { signal, takeMemory: takeFreely }));
/** What is fed to it may not be read to the end. */
const failure = async (stored = text): Promise<unknown> => {
  const pieces = (async function* () {
    yield stored;
  })();
  const all = async () => {
    const output: Buffer[] = [];
    for await (const piece of inflateByProgram(pieces, 'xz', { signal: never, takeMemory: takeFreely }))
      output.push(piece);
    return Buffer.concat(output);
  };
  return failureOf(all());
};
const isRunning = (pid: number): boolean => existsSync(`/proc/${pid}`);
const pidIn = (name: string): number => Number(readFileSync(join(path, name), 'latin1'));

describe('a program that inflates', () => {
  it('is fed all that is stored, and what it makes is handed on', async () => {
    install('xz', 'exec cat');
    expect((await inflate()).equals(text)).toBe(true);
  });

  it('has an environment of its own, none of our files, and the root for its working directory', async () => {
    install('xz', 'cat >/dev/null; env; pwd; ls -l /proc/$$/fd');
    process.env['XZ_OPT'] = '--keep';
    const file = openSync(join(path, 'ours'), 'w');
    try {
      const said = String(await inflate());
      expect(said).toContain('LC_ALL=C\n');
      expect(said).toMatch(/^XZ_DEFAULTS=--memlimit-decompress=\d+ --threads=1$/m);
      expect(said).toMatch(/^\/$/m);
      expect(said).toMatch(/ 1 -> /);
      expect(said).not.toContain('XZ_OPT');
      expect(said).not.toContain('ours');
    } finally {
      closeSync(file);
      delete process.env['XZ_OPT'];
    }
  });

  it('may end before it has read everything, which is read all the same', async () => {
    install('xz', 'head -c 10');
    const large = Buffer.alloc(1 << 20, 'x');
    expect(String(await inflate(large))).toBe('x'.repeat(10));
  });

  it('takes memory of what all share, and gives it back', async () => {
    install('xz', 'exec cat');
    const taken: (number | string)[] = [];
    const takeMemory = async (bytes: number) => {
      taken.push(bytes);
      return () => void taken.push('back');
    };
    for (const compression of ['xz', 'bzip2'] as const) {
      install(compression, 'exec cat');
      await inflated(text, 1000, (pieces) => inflateByProgram(pieces, compression, { signal: never, takeMemory }));
    }
    expect(taken).toEqual([64 * 1024 * 1024, 'back']);
  });
});

describe('a failure is told in words', () => {
  it.each([
    ['xz: (stdin): Unexpected end of input', 'ERR_LAYER_TRUNCATED', 'its xz data ends too early'],
    ['bzip2: Compressed file ends unexpectedly;', 'ERR_LAYER_TRUNCATED', 'its xz data ends too early'],
    ['xz: (stdin): Compressed data is corrupt', 'ERR_LAYER_MALFORMED', 'its xz data is damaged'],
    ['xz: (stdin): Memory usage limit reached', 'ERR_LIMIT_EXCEEDED', 'needs more memory'],
    ['', 'ERR_LAYER_MALFORMED', 'its xz data is damaged'],
  ])('%s', async (said, code, message) => {
    install('xz', `cat >/dev/null; echo "${said}" >&2; exit 1`);
    expect(await failure()).toMatchObject({ code, message: expect.stringContaining(message) });
  });

  it('with what it said itself beneath, however much that is', async () => {
    install('xz', 'echo "xz: (stdin): Compressed data is corrupt" >&2; yes noise | head -c 1000000 >&2; exit 1');
    expect((await failure()) as Error).toMatchObject({ cause: { message: 'Compressed data is corrupt' } });
  });

  it('also when it is not installed, is ended, or cannot be run', async () => {
    expect(await failure()).toMatchObject({
      code: 'ERR_UNSUPPORTED_MEDIA_TYPE',
      message: expect.stringContaining('is not installed'),
      hint: expect.stringContaining('xz-utils'),
    });
    install('xz', 'kill -9 $$');
    expect(await failure()).toMatchObject({ code: 'ERR_IO', message: expect.stringContaining('SIGKILL') });
    writeFileSync(join(path, 'xz'), '#!/no/such/program\n');
    expect(await failure()).toMatchObject({ code: 'ERR_IO', message: expect.stringContaining('run xz') });
  });

  it('and one of who reads what is stored is that', async () => {
    install('xz', 'exec cat');
    const broken = async function* (): AsyncGenerator<Buffer> {
      yield text;
      throw new Error('the connection broke');
    };
    const all = async () => {
      for await (const _ of inflateByProgram(broken(), 'xz', { signal: never, takeMemory: takeFreely }));
    };
    await expect(all()).rejects.toThrow('the connection broke');
  });
});

describe('a program is gone when nobody wants more', () => {
  const endless = async function* (): AsyncGenerator<Buffer> {
    for (;;) yield text;
  };

  it('because the reader has had enough', async () => {
    install('xz', `echo $$ >${path}/pid; exec cat`);
    for await (const _ of inflateByProgram(endless(), 'xz', { signal: never, takeMemory: takeFreely })) break;
    expect(isRunning(pidIn('pid'))).toBe(false);
  });

  it.each([
    ['goes on', 'exec cat'],
    ['neither reads nor writes', 'echo begun; exec sleep 1000'],
    ['will not be told', "trap '' TERM INT; echo begun; exec sleep 1000"],
  ])('because it is cancelled while it %s', async (_what, script) => {
    install('xz', `echo $$ >${path}/pid; ${script}`);
    const controller = new AbortController();
    const all = async () => {
      const pieces = inflateByProgram(endless(), 'xz', { signal: controller.signal, takeMemory: takeFreely });
      for await (const _ of pieces) controller.abort();
    };
    await expect(all()).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(isRunning(pidIn('pid'))).toBe(false);
  });
});
