// What vitest.e2e.config.ts hands to the tests.
import 'vitest';

declare module 'vitest' {
  export interface ProvidedContext {
    url: string;
    rpc: string;
  }
}
