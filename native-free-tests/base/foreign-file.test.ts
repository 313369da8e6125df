import { execFileSync } from 'node:child_process';
import { constants, openSync, writeSync } from 'node:fs';
import { mkdir, open, readFile, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import {
  LeadsOutError,
  NotRegularError,
  openForeignFile,
  openForeignInput,
  readForeignText,
  TooLargeError,
  writeForeignText,
} from '#src/base/foreign-file.js';
import { useDirectory } from '../sources/workbench.js';

const directory = useDirectory();

function pipe(name = 'pipe'): string {
  const path = directory.join(name);
  execFileSync('mkfifo', [path]);
  return path;
}

async function contentOf(opening: ReturnType<typeof openForeignFile>): Promise<string> {
  const file = await opening;
  const text = await file.readFile('utf8');
  await file.close();
  return text;
}

/** Opened for reading and writing, a pipe waits for nobody. */
const openBothWays = (path: string): number => openSync(path, constants.O_RDWR);

describe('a file of others', () => {
  it('is opened when it is one, also through links', async () => {
    await writeFile(directory.join('file'), 'content');
    await symlink('file', directory.join('link'));
    expect(await contentOf(openForeignFile(directory.join('file')))).toBe('content');
    expect(await contentOf(openForeignFile(directory.join('link')))).toBe('content');
    expect(await contentOf(openForeignFile(directory.join('link'), { inside: directory.path }))).toBe('content');
  });

  it('is refused at once when it is something else: nobody waits, and nobody on its other side hears of it', async () => {
    const server = createServer().listen(directory.join('socket'));
    const found = async (path: string) => {
      const error = await openForeignFile(path).catch((cause: unknown) => cause);
      return error instanceof NotRegularError ? error.found : error;
    };
    expect(await found(pipe())).toBe('a named pipe');
    expect(await found('/dev/zero')).toBe('a device');
    expect(await found(directory.path)).toBe('a directory');
    expect(await found(directory.join('socket'))).toBe('a socket');
    server.close();
  });

  it('is not looked for behind a link that leads out of where it must be', async () => {
    await mkdir(directory.join('inside'));
    await writeFile(directory.join('secret'), 'secret');
    await symlink('..', directory.join('inside/up'));
    await symlink('../secret', directory.join('inside/link'));
    for (const path of ['inside/link', 'inside/up/secret', 'secret']) {
      const opening = openForeignFile(directory.join(path), { inside: directory.join('inside') });
      await expect(opening).rejects.toBeInstanceOf(LeadsOutError);
    }
  });

  it('leaves system errors as they are', async () => {
    await expect(openForeignFile(directory.join('none'))).rejects.toMatchObject({ code: 'ENOENT' });
    await symlink('round', directory.join('round'));
    await expect(openForeignFile(directory.join('round'))).rejects.toMatchObject({ code: 'ELOOP' });
  });
});

describe('input that may be a pipe', () => {
  it('is read when somebody writes', async () => {
    const path = pipe();
    const input = await openForeignInput(path);
    if (input.kind !== 'pipe') throw new Error('it was taken for a file');
    const chunks: Buffer[] = [];
    setTimeout(async () => {
      const writer = await open(path, 'w');
      await writer.write('one ');
      await new Promise((resolve) => setTimeout(resolve, 20));
      await writer.write('two');
      await writer.close();
    }, 20);
    for await (const chunk of input.stream) chunks.push(chunk);
    expect(Buffer.concat(chunks).toString()).toBe('one two');
  });

  it('can be given up while nobody writes', async () => {
    const input = await openForeignInput(pipe());
    if (input.kind !== 'pipe') throw new Error('it was taken for a file');
    const closed = new Promise((resolve) => input.stream.once('close', resolve));
    input.stream.resume();
    setTimeout(() => input.stream.destroy(), 20);
    await closed;
  });
});

describe('a text of others', () => {
  it('is read from a file; the null device has none', async () => {
    await writeFile(directory.join('file'), 'text');
    expect(await readForeignText(directory.join('file'))).toBe('text');
    expect(await readForeignText('/dev/null')).toBe('');
  });

  it('is refused when it is larger than texts are, or comes through a pipe where none is expected', async () => {
    const file = await open(directory.join('large'), 'w');
    await file.truncate(2 ** 30);
    await file.close();
    await expect(readForeignText(directory.join('large'))).rejects.toBeInstanceOf(TooLargeError);
    await expect(readForeignText(pipe())).rejects.toBeInstanceOf(NotRegularError);
  });

  it('is read from a pipe where one may be, until that is given up', async () => {
    const path = pipe();
    const reading = readForeignText(path, AbortSignal.timeout(10_000));
    await writeForeignText(path, 'through a pipe', AbortSignal.timeout(10_000));
    expect(await reading).toBe('through a pipe');
    const controller = new AbortController();
    const waiting = readForeignText(path, controller.signal);
    setTimeout(() => controller.abort(new Error('enough')), 30);
    await expect(waiting).rejects.toThrow('enough');
  });
});

describe('a text that is written where the caller says', () => {
  const never = new AbortController().signal;

  it('makes or replaces a file', async () => {
    await writeForeignText(directory.join('file'), 'a longer text', never);
    await writeForeignText(directory.join('file'), 'text', never);
    expect(await readFile(directory.join('file'), 'utf8')).toBe('text');
  });

  it('waits for somebody to read a pipe, until that is given up', async () => {
    await expect(writeForeignText(pipe(), 'text', AbortSignal.timeout(80))).rejects.toMatchObject({
      name: 'AbortError',
    });
  });

  it('can be given up when whoever has the pipe open does not read', async () => {
    const path = pipe();
    const reader = openBothWays(path);
    writeSync(reader, 'x');
    const writing = writeForeignText(path, 'x'.repeat(1 << 20), AbortSignal.timeout(50));
    await expect(writing).rejects.toMatchObject({ name: 'AbortError' });
  });
});
