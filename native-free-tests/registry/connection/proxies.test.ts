import { expect, it } from 'vitest';
import { chooseProxy, parseProxy } from '#src/registry/connection/proxies.js';

const PROXY = 'http://proxy.example:3128';

it.each([
  ['https://r.example/', { https_proxy: PROXY }, PROXY],
  ['https://r.example/', { HTTPS_PROXY: PROXY }, PROXY],
  ['https://r.example/', { https_proxy: '', HTTPS_PROXY: PROXY }, PROXY],
  ['https://r.example/', { https_proxy: PROXY, HTTPS_PROXY: 'http://other.example' }, PROXY],
  ['https://r.example/', { http_proxy: PROXY }, undefined],
  ['http://r.example/', { http_proxy: PROXY }, PROXY],
  ['http://r.example/', { https_proxy: PROXY }, undefined],
  ['https://r.example/', { https_proxy: 'proxy.example:3128' }, PROXY],
  ['https://r.example/', { https_proxy: 'https://proxy.example' }, 'https://proxy.example'],
  ['https://r.example/', {}, undefined],
  ['https://localhost:5000/', { https_proxy: PROXY }, undefined],
  ['https://127.0.0.9/', { https_proxy: PROXY }, undefined],
  ['https://[::1]:5000/', { https_proxy: PROXY }, undefined],
])('%s with %j goes by %s', (target, environment, proxy) => {
  expect(chooseProxy(new URL(target), undefined, environment)?.origin).toBe(proxy);
});

it.each([
  ['r.example', 'r.example', true],
  ['sub.r.example', 'r.example', true],
  ['r.example', 'R.EXAMPLE', true],
  ['notr.example', 'r.example', false],
  ['r.example', '.r.example', false],
  ['sub.r.example', '.r.example', true],
  ['sub.r.example', '*.r.example', true],
  ['r.example', 'a.example, r.example', true],
  ['r.example', 'a.example r.example', true],
  ['r.example', '*', true],
  ['r.example', 'r.example:443', true],
  ['r.example', 'r.example:5000', false],
  ['r.example:5000', 'r.example:5000', true],
  ['r.example:5000', 'r.example', true],
  ['10.1.2.3', '10.0.0.0/8', true],
  ['11.1.2.3', '10.0.0.0/8', false],
  ['10.1.2.3', '10.1.2.3', true],
  ['10.1.2.3:5000', '10.1.2.3:443', false],
  ['[fd00::1]', 'fd00::/8', true],
  ['[fd00::1]', 'fd00::1', true],
  ['[fd00::1]:5000', '[fd00::1]:5000', true],
  ['[fd00::1]:5000', '[fd00::1]:443', false],
  ['[fe00::1]', 'fd00::/8', false],
  ['10.1.2.3', 'fd00::/8', false],
  ['r.example', '10.0.0.0/99', false],
  ['r.example', ',:443, ,', false],
])('%s is exempt by no_proxy=%s: %s', (host, no_proxy, exempt) => {
  const proxy = chooseProxy(new URL(`https://${host}/`), undefined, { https_proxy: PROXY, no_proxy });
  expect(proxy === undefined).toBe(exempt);
});

it('a host of its own proxy goes by that, whatever the environment says', () => {
  const environment = { https_proxy: 'http://other.example', no_proxy: '*' };
  expect(chooseProxy(new URL('https://localhost/'), PROXY, environment)?.origin).toBe(PROXY);
});

it('the credentials of a proxy are for the proxy, and stand in no part that may be told', () => {
  const { origin, authorization } = parseProxy('http://me:p%40ss%3A%25@proxy.example:3128/', 'it');
  expect(origin).toBe(PROXY);
  expect(Buffer.from(authorization?.replace('Basic ', '') ?? '', 'base64').toString()).toBe('me:p@ss:%');
  const alone = parseProxy('http://token@proxy.example', 'it').authorization;
  expect(Buffer.from(alone?.replace('Basic ', '') ?? '', 'base64').toString()).toBe('token:');
  expect(parseProxy('http://me:100%@proxy.example', 'it').authorization).toBe(
    `Basic ${Buffer.from('me:100%').toString('base64')}`,
  );
});

it.each([
  'proxy',
  'http://',
  'ftp://me:secret@proxy.example',
  'http://me:secret@proxy.example/path',
  'http://me:secret@proxy.example/?a',
  'socks5h://me:secret@proxy.example:1080',
])('%s is no proxy, and the error does not repeat it', (text) => {
  expect(() => parseProxy(text, 'the proxy in a test')).toThrow(
    expect.objectContaining({
      code: 'ERR_REGISTRY_CONFIG',
      message: expect.not.stringContaining('secret'),
      hint: expect.stringContaining('http://HOST:PORT'),
    }),
  );
});
