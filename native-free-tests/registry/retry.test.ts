import { expect, it } from 'vitest';
import { ProvisionerError } from '#src/base/errors.js';
import { mayPass, parseRetryAfter, pauseBefore, withRetries } from '#src/registry/retry.js';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const failed = (status: number, retryAfter?: number) =>
  new ProvisionerError('ERR_REGISTRY_FAILED', 'x', {
    details: { status, ...(retryAfter === undefined ? {} : { retryAfter }) },
  });
const lost = (errno: string) => new ProvisionerError('ERR_REGISTRY_UNREACHABLE', 'x', { details: { errno } });

it.each([
  ['120', 120],
  [' 0 ', 0],
  ['Thu, 01 Jan 2026 00:01:30 GMT', 90],
  ['Wed, 31 Dec 2025 00:00:00 GMT', 0],
  ['-1', undefined],
  ['soon', undefined],
  ['2026', 2026],
  [undefined, undefined],
])('Retry-After: %s is %s seconds', (value, seconds) => {
  expect(parseRetryAfter(value, NOW)).toBe(seconds);
});

it('what may pass is tried again, what stays is not', () => {
  for (const status of [408, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529, 530])
    expect(mayPass(failed(status)), String(status)).toBe(true);
  for (const status of [400, 404, 405, 416, 501, 525, 599]) expect(mayPass(failed(status)), String(status)).toBe(false);
  for (const errno of ['ECONNRESET', 'UND_ERR_SOCKET', 'UND_ERR_BODY_TIMEOUT', 'EAI_AGAIN'])
    expect(mayPass(lost(errno)), errno).toBe(true);
  for (const errno of ['ENOTFOUND', 'ECONNREFUSED']) expect(mayPass(lost(errno)), errno).toBe(false);
  expect(mayPass(lost('ECONNREFUSED'), 'passes')).toBe(true);
  for (const code of ['ERR_REGISTRY_TLS', 'ERR_REGISTRY_UNAUTHORIZED', 'ERR_DIGEST_MISMATCH', 'ERR_ABORTED'] as const)
    expect(mayPass(new ProvisionerError(code, 'x'))).toBe(false);
  expect(mayPass(new TypeError('a fault of ours'))).toBe(false);
});

it('pauses grow up to a limit, differ by chance, and are never shorter than the server asked for', () => {
  const [short, long] = [() => 0, () => 1];
  expect([0, 1, 2, 3].map((attempt) => pauseBefore(attempt, undefined, long))).toEqual([250, 500, 1000, 2000]);
  expect(pauseBefore(0, undefined, short)).toBe(125);
  expect(pauseBefore(1000, undefined, long)).toBe(15_000);
  expect(pauseBefore(0, failed(503, 7), short)).toBe(7000);
  expect(mayPass(failed(503, 3600))).toBe(false);
});

it('work is repeated so many times and no more, and its last error is the one that counts', async () => {
  let attempts = 0;
  const work = async () => {
    attempts++;
    throw failed(500);
  };
  await expect(withRetries(work, { retries: 1 })).rejects.toMatchObject({ details: { status: 500 } });
  expect(attempts).toBe(2);
});

it('a caller that gives up does not wait for the next attempt', async () => {
  const cancel = new AbortController();
  const pulling = withRetries(() => Promise.reject(failed(503, 60)), { retries: 5, signal: cancel.signal });
  setTimeout(() => cancel.abort(), 20);
  await expect(pulling).rejects.toMatchObject({ code: 'ERR_ABORTED' });
});
