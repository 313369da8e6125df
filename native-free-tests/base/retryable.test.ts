import { expect, it } from 'vitest';
import type { ErrorCode } from '#src/base/codes/code-tables.js';
import { type ErrorDetails, fileError, ProvisionerError } from '#src/base/errors.js';
import { isRetryable } from '#src/index.js';
import { mayPass } from '#src/registry/retry.js';
import { packError, unpackError } from '#src/workers/error-transport.js';

const ours = (code: ErrorCode, details: ErrorDetails = {}) => new ProvisionerError(code, 'x', { details });
const systems = (code: string) => Object.assign(new Error('x'), { code });

it.each([
  ['a network that does not answer', ours('ERR_REGISTRY_UNREACHABLE', { errno: 'ETIMEDOUT' })],
  ['a name that is not known now', ours('ERR_REGISTRY_UNREACHABLE', { errno: 'ENOTFOUND' })],
  ['a registry that sends too slowly', ours('ERR_REGISTRY_UNREACHABLE', { errno: 'TOO_SLOW' })],
  ['a registry that has too much to do', ours('ERR_REGISTRY_BUSY', { status: 429, retryAfter: 3600 })],
  ['a registry that is just down', ours('ERR_REGISTRY_FAILED', { status: 503 })],
  ['an answer that ended early', ours('ERR_SIZE_MISMATCH', { ended: true })],
  ['a proxy whose other side is down', ours('ERR_REGISTRY_UNREACHABLE', { status: 502 })],
  ['a busy lock', ours('ERR_LOCK_TIMEOUT')],
  ['busy records', ours('ERR_STORE_BUSY')],
  ['records that others of an older release have open', ours('ERR_STORE_IN_USE')],
  ['a full disk', fileError(systems('ENOSPC'), 'write', '/x')],
  ['too many open files', fileError(systems('EMFILE'), 'open', '/x')],
  ['a disk that did not answer', fileError(systems('EIO'), 'read', '/x')],
  ['a worker thread that died', ours('ERR_WORKER_DIED')],
  ['a container in which others work', ours('ERR_CONTAINER_ELSEWHERE', { inUse: true })],
  ['a shortage that the system tells of', systems('ENOMEM')],
  ['an error that has come from a worker thread', unpackError(structuredClone(packError(ours('ERR_NO_SPACE'))))],
])('%s is worth another try', (_, error) => {
  expect(isRetryable(error)).toBe(true);
});

it.each([
  ['a digest that does not fit', ours('ERR_DIGEST_MISMATCH')],
  ['a size that the registry states otherwise', ours('ERR_SIZE_MISMATCH', { ended: false })],
  ['a malformed document', ours('ERR_SOURCE_MALFORMED')],
  ['a bad option', ours('ERR_BAD_OPTION')],
  ['a wrong password', ours('ERR_REGISTRY_UNAUTHORIZED')],
  ['a certificate that is not trusted', ours('ERR_REGISTRY_TLS')],
  ['a proxy that wants a password', ours('ERR_REGISTRY_UNREACHABLE', { status: 407 })],
  ['a registry that does not know the request', ours('ERR_REGISTRY_FAILED', { status: 405 })],
  ['a registry that answers something else', ours('ERR_REGISTRY_FAILED')],
  ['a file that may not be read', fileError(systems('EACCES'), 'read', '/x')],
  ['a file that is in the way', fileError(systems('EEXIST'), 'write', '/x')],
  ['a container that may be in use elsewhere', ours('ERR_CONTAINER_ELSEWHERE')],
  ['a caller who gave up', ours('ERR_ABORTED')],
  ['a provisioner that is closed', ours('ERR_CLOSED')],
  ['what the system says of the thing itself', systems('ENOENT')],
  ['a fault of the program', new TypeError('x')],
  ['a text', 'ENOSPC'],
  ['nothing', undefined],
  ['null', null],
  ['a number', 5],
])('%s is not', (_, error) => {
  expect(isRetryable(error)).toBe(false);
});

it('whatever a pull tries again by itself is worth another try of its caller as well', () => {
  const statuses = [undefined, 400, 404, 407, 408, 429, 500, 501, 503];
  const errnos = [undefined, 'ECONNRESET', 'ECONNREFUSED', 'ETIMEDOUT', 'TOO_SLOW'];
  const codes = ['ERR_REGISTRY_FAILED', 'ERR_REGISTRY_UNREACHABLE', 'ERR_REGISTRY_BUSY', 'ERR_REGISTRY_TLS'] as const;
  const all = codes.flatMap((code) =>
    statuses.flatMap((status) =>
      errnos.map((errno) => ours(code, { ...(status && { status }), ...(errno && { errno }) })),
    ),
  );
  const tried = all.filter((error) => mayPass(error, 'passes'));
  expect(tried.length).toBeGreaterThan(20);
  expect(tried.filter((error) => !isRetryable(error))).toEqual([]);
});
