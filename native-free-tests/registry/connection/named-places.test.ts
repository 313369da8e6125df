import { describe, expect, it } from 'vitest';
import { namedPlace } from '#src/registry/connection/onward.js';
import type { Endpoint } from '#src/registry/endpoint.js';

const endpoint: Endpoint = {
  host: 'registry.example',
  scheme: 'https',
  path: '/v2',
  resolves: true,
  pulls: true,
  tls: { verify: true, ca: [] },
  headers: {},
};
const asked = { subject: 'the layer', host: 'registry.example' };
const from = { plain: false, zone: 'elsewhere' } as const;
const place = (url: string, more: Partial<Endpoint> = {}, sender: Parameters<typeof namedPlace>[1] = from) =>
  namedPlace(url, sender, { ...endpoint, ...more }, asked).href;

describe('where a registry says that a layer lies', () => {
  it('is any place that is reached by TLS', () => {
    expect(place('https://mcr.example/layer?x=1')).toBe('https://mcr.example/layer?x=1');
  });

  it('is one without TLS only where the registry itself may be spoken to without', () => {
    expect(() => place('http://mcr.example/layer')).toThrow('where there is no TLS: mcr.example');
    expect(place('http://mcr.example/layer', { tls: { verify: false, ca: [] } })).toBe('http://mcr.example/layer');
    expect(place('http://mcr.example/layer', {}, { plain: true, zone: 'elsewhere' })).toBe('http://mcr.example/layer');
  });

  it.each(['http://127.0.0.1/x', 'https://localhost/x', 'https://[::1]/x', 'https://169.254.169.254/latest'])(
    'is no place that is nearer than the registry, unless the user has named it: %s',
    (url) => {
      expect(() => place(url, { tls: { verify: false, ca: [] } })).toThrow('it sends us to');
      expect(place(url, { maySendTo: [new URL(url).origin] })).toBe(url);
    },
  );

  it.each(['file:///etc/passwd', 'ftp://mcr.example/x', 'layer.tar', '/v2/x', '', 'data:,x'])(
    'is nothing else: %s',
    (url) => {
      expect(() => place(url)).toThrow('not at a URL of the web');
    },
  );
});
