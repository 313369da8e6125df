import { PassThrough, Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { askOnTerminal, type Question } from '#src/cli/input/ask-on-terminal.js';
import { readSecretLine } from '#src/cli/input/read-secret-line.js';

const BOTH: readonly Question[] = [{ text: 'Name: ' }, { text: 'Password: ', secret: true }];

/** A terminal at which `typed` is typed, at once or each when its question shows. @returns what is answered, and all that shows */
async function ask(
  typed: readonly string[],
  { questions = BOTH, signal = new AbortController().signal, patient = false } = {},
) {
  let shown = '';
  const keys = new PassThrough();
  const later = patient ? [...typed] : [];
  const stderr = {
    write: (text: string) => {
      shown += text;
      if (/Name: |Password: /.test(text)) keys.write(later.shift() ?? '');
    },
  };
  const asked = askOnTerminal({ stdin: () => keys, stderr, signal }, questions);
  if (!patient) for (const text of typed) keys.write(text);
  const answers = await asked.catch((error: { readonly code: string }) => error.code);
  return { answers, shown };
}

describe('who sits at a terminal', () => {
  it('is asked one question after the other, and sees nothing of what is secret', async () => {
    const { answers, shown } = await ask(['me\r', 's3cret\r'], { patient: true });
    expect(answers).toEqual(['me', 's3cret']);
    expect(shown).toContain('Name: ');
    expect(shown).toContain('me');
    expect(shown).toContain('Password: ');
    expect(shown).not.toMatch(/s3|cret/);
  });

  it('may type ahead, and nothing secret shows then either', async () => {
    for (const typed of [['me\rs3cret\r'], ['me\rs3c', 'ret\r'], ['m', 'e', '\r', 's3cret', '\r']]) {
      const { answers, shown } = await ask(typed);
      expect(answers).toEqual(['me', 's3cret']);
      expect(shown).not.toMatch(/s3|cret/);
    }
  });

  it('may correct what was typed, and answer nothing', async () => {
    expect((await ask(['mx\x7fe\r', 's3x\x7fcret\r'])).answers).toEqual(['me', 's3cret']);
    expect((await ask(['\r', '\r'])).answers).toEqual(['', '']);
  });

  it('may end the input, which is no answer', async () => {
    expect((await ask(['me\r', '\x04'])).answers).toBe('ERR_BAD_OPTION');
  });

  it('is asked no more when the command is interrupted', async () => {
    const abort = new AbortController();
    const asked = ask(['me\r'], { signal: abort.signal });
    abort.abort();
    expect((await asked).answers).toBe('ERR_ABORTED');
    expect((await ask([], { signal: AbortSignal.abort() })).answers).toBe('ERR_ABORTED');
  });
});

describe('the password on standard input', () => {
  const read = (...chunks: (string | Buffer)[]) =>
    readSecretLine(Readable.from(chunks.map((chunk) => Buffer.from(chunk))), new AbortController().signal);

  it.each([
    ['a line', 's3cret\n', 's3cret'],
    ['a line of Windows', 's3cret\r\n', 's3cret'],
    ['a text without a line end', 's3cret', 's3cret'],
    ['spaces around it', ' s3cret\t\n', ' s3cret\t'],
    ['a byte order mark', '\ufeffs3cret\n', '\ufeffs3cret'],
    ['nothing', '', ''],
  ])('may be %s, of which the line end alone is cut', async (_, text, password) => {
    expect(await read(text)).toBe(password);
  });

  it('may come in pieces, in the middle of a character', async () => {
    const bytes = Buffer.from('pässwörd\n');
    expect(await read(bytes.subarray(0, 2), bytes.subarray(2))).toBe('pässwörd');
  });

  it.each([
    ['two lines', 's3cret\nmore\n', 'has more than one line'],
    ['an empty line after it', 's3cret\n\n', 'has more than one line'],
    ['bytes that are no text', Buffer.from([0x73, 0xff]), 'is not UTF-8'],
  ])('is not %s, and is not in the error', async (_, text, problem) => {
    await expect(read(text)).rejects.toMatchObject({
      code: 'ERR_BAD_OPTION',
      message: expect.stringMatching(new RegExp(`${problem}(?!.*s3cret)`)),
    });
  });

  it('is not waited for when the command is interrupted', async () => {
    const abort = new AbortController();
    const reading = readSecretLine(new PassThrough(), abort.signal);
    abort.abort(new Error('enough'));
    await expect(reading).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  });
});
