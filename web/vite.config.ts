// Builds to static files that the indexer serves; `npm run dev` passes API calls on to a running indexer.
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const indexer = 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [react()],
  build: { target: 'es2023', assetsInlineLimit: 0 },
  server: { proxy: { '/v1': indexer, '/deployment.json': indexer } },
});
