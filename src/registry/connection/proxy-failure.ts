/** What a proxy did to a connection that was to go by way of it: the host behind it is not to blame. */
export class ProxyFailure extends Error {
  override readonly name = 'ProxyFailure';
  /** Its origin, without credentials. */
  readonly proxy: string;
  /** What it answered, where it answered. */
  readonly status: number | undefined;

  constructor(proxy: string, { cause, status }: { readonly cause?: unknown; readonly status?: number }) {
    super(`the proxy ${proxy} makes no connection`, { cause });
    this.proxy = proxy;
    this.status = status;
  }
}
