import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach } from 'vitest';
import type { buildImage } from './image-builder.js';

type Image = ReturnType<typeof buildImage>;

export interface ScriptedRegistry {
  /** `localhost:PORT`. */
  readonly host: string;
  /** `REPOSITORY DIGEST` of each blob that was asked for, in order. */
  readonly asked: string[];
  /** What is done instead of answering a request for a blob. @returns undefined where it is to be answered */
  instead: (repository: string, digest: string, response: ServerResponse) => 'done' | Promise<void> | undefined;
}

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }
});

/** A registry with an image in each repository, whatever the tag. Closed after the test. */
export async function serveImages(images: Readonly<Record<string, Image>>): Promise<ScriptedRegistry> {
  const asked: string[] = [];
  const server = createServer(async ({ url = '', method }, response) => {
    const [, , repository = '', kind, digest = ''] = url.split('/');
    const image = images[repository] as Image;
    const blobs = [
      { digest: image.config.descriptor.digest, blob: image.config.bytes },
      ...image.layers.map((layer) => ({ digest: layer.digest, blob: layer.blob })),
    ];
    const found = kind === 'blobs' ? blobs.find((blob) => blob.digest === digest)?.blob : image.manifest.bytes;
    if (kind === 'blobs') {
      asked.push(`${repository} ${digest}`);
      const instead = registry.instead(repository, digest, response);
      if (instead === 'done') return;
      await instead;
    }
    const type = kind === 'blobs' ? 'application/octet-stream' : image.manifest.descriptor.mediaType;
    const named = kind === 'blobs' ? {} : { 'docker-content-digest': image.manifest.descriptor.digest };
    response.writeHead(200, { 'content-type': type, 'content-length': found?.length ?? 0, ...named });
    response.end(method === 'HEAD' ? undefined : found);
  }).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  const registry: ScriptedRegistry = {
    host: `localhost:${(server.address() as AddressInfo).port}`,
    asked,
    instead: () => undefined,
  };
  return registry;
}

/** Something to wait for, until it is let go. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}
