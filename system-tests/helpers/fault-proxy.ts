import { createServer, type IncomingHttpHeaders, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { listenOnLoopback } from './loopback-server.js';

/** What the proxy does with one request instead of passing it on as it is. */
export type Fault =
  /** Breaks the connection after so many bytes of the body. */
  | { readonly kind: 'cut'; readonly after: number }
  /** Sends no more after so many bytes of the body, and leaves the connection open. */
  | { readonly kind: 'stall'; readonly after: number }
  /** Ends the body after so many bytes as if it were all: chunked, so without a length that would show it. */
  | { readonly kind: 'end'; readonly after: number }
  /** Answers by itself. */
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
    }
  /** Turns over the bits of the byte at this place of the body. */
  | { readonly kind: 'flip'; readonly at: number }
  /** States another length. */
  | { readonly kind: 'length'; readonly add: number }
  /** Passes the request on when the time has come. */
  | { readonly kind: 'hold'; readonly until: Promise<unknown> }
  /** Gives the body so fast at most; looked at again for each piece of it. */
  | { readonly kind: 'slow'; readonly bytesPerSecond: number }
  /** Passes the request on without its `Range`. */
  | { readonly kind: 'no-range'; readonly cutAfter?: number };

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}

export interface FaultProxy {
  /** `localhost:PORT`. */
  readonly host: string;
  readonly seen: SeenRequest[];
  /** How often blobs were asked for, configs and layers. */
  blobs(): SeenRequest[];
  /** Asked for each request. */
  fault: (request: SeenRequest) => Fault | undefined;
  /** Connections that are open now. */
  connections(): number;
  /** Requests that are being answered now. */
  answering(): number;
}

/** A server on loopback that passes requests on to another one, and does to them what a test says. Closed after the test. */
export async function startFaultProxy(target: { readonly port: number }): Promise<FaultProxy> {
  const seen: SeenRequest[] = [];
  let answering = 0;
  const server = createServer((incoming, response) => {
    const asked = { method: incoming.method ?? '', url: incoming.url ?? '', headers: incoming.headers };
    seen.push(asked);
    answering++;
    response.on('close', () => answering--);
    serve(target.port, proxy.fault(asked), incoming, response);
  });
  const { host, connections } = await listenOnLoopback(server);
  const proxy: FaultProxy = {
    host,
    seen,
    blobs: () => seen.filter(({ url }) => url.includes('/blobs/')),
    fault: () => undefined,
    connections,
    answering: () => answering,
  };
  return proxy;
}

function serve(port: number, fault: Fault | undefined, incoming: IncomingMessage, response: ServerResponse): void {
  if (fault?.kind === 'answer') {
    response.writeHead(fault.status, { 'content-type': 'text/plain', ...fault.headers });
    response.end(fault.body ?? 'a fault of the test');
    return;
  }
  if (fault?.kind === 'hold') {
    void fault.until.then(() => serve(port, undefined, incoming, response));
    return;
  }
  const headers = { ...incoming.headers };
  if (fault?.kind === 'no-range') delete headers.range;
  // The same name, so that what the registry builds of it leads back here.
  const upstream = request(
    { host: '127.0.0.1', port, method: incoming.method, path: incoming.url, headers },
    (answer) => {
      passOn(fault, answer, response);
    },
  );
  upstream.on('error', () => response.destroy());
  response.on('close', () => upstream.destroy());
  incoming.pipe(upstream);
}

function passOn(fault: Fault | undefined, answer: IncomingMessage, response: ServerResponse): void {
  const headers = { ...answer.headers };
  if (fault?.kind === 'end') delete headers['content-length'];
  if (fault?.kind === 'length') headers['content-length'] = String(Number(headers['content-length']) + fault.add);
  response.writeHead(answer.statusCode ?? 500, headers);
  if (fault?.kind === 'slow') {
    void dribble(answer, response, fault);
    return;
  }
  let sent = 0;
  answer.on('data', (chunk: Buffer) => {
    const start = sent;
    sent += chunk.length;
    const limit = limitOf(fault);
    if (fault?.kind === 'flip' && fault.at >= start && fault.at < sent)
      chunk[fault.at - start] = ~(chunk[fault.at - start] ?? 0) & 0xff;
    if (sent < limit) {
      if (!response.write(chunk)) {
        answer.pause();
        response.once('drain', () => answer.resume());
      }
      return;
    }
    answer.removeAllListeners('data');
    answer.removeAllListeners('end');
    answer.pause();
    const rest = chunk.subarray(0, limit - start);
    if (fault?.kind === 'end') response.end(rest);
    else response.write(rest, () => (fault?.kind === 'stall' ? undefined : response.destroy()));
  });
  answer.on('end', () => (fault?.kind === 'length' && fault.add > 0 ? undefined : response.end()));
  answer.on('error', () => response.destroy());
}

async function dribble(
  answer: IncomingMessage,
  response: ServerResponse,
  pace: { readonly bytesPerSecond: number },
): Promise<void> {
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      for (let at = 0; at < chunk.length; ) {
        if (response.destroyed) return;
        const piece = Math.max(1, Math.floor(pace.bytesPerSecond / 20));
        response.write(chunk.subarray(at, at + piece));
        at += piece;
        await sleep(50);
      }
    }
    response.end();
  } catch {
    response.destroy();
  }
}

function limitOf(fault: Fault | undefined): number {
  switch (fault?.kind) {
    case 'cut':
    case 'stall':
    case 'end':
      return fault.after;
    case 'no-range':
      return fault.cutAfter ?? Number.POSITIVE_INFINITY;
    default:
      return Number.POSITIVE_INFINITY;
  }
}
