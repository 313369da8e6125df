import type { ProvisionerEvents } from '../../index.js';

export type PullEvent = {
  [Name in keyof PullEvents]: { readonly type: Name } & PullEvents[Name];
}[keyof PullEvents];

interface PullEvents {
  readonly pullStarted: ProvisionerEvents['pullStarted'][0];
  readonly pullWaiting: ProvisionerEvents['pullWaiting'][0];
  readonly layerProgress: ProvisionerEvents['layerProgress'][0];
  readonly pullFinished: ProvisionerEvents['pullFinished'][0];
  readonly pullFailed: ProvisionerEvents['pullFailed'][0];
}

/** How people, or programs, are shown what goes on in a pull. */
export interface PullDisplay {
  show(event: PullEvent): void;
  /** Shows a text that has nothing to do with it, without getting in its way. */
  note(text: string): void;
  /** Shows what is still to be shown, and lets go of the terminal. Safe to call twice. */
  stop(): void;
}
