/// <reference types="vitest/config" />
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// In development the pages come from Vite and the API from a controller, or from `npm run mock`.
const api = process.env.MUSTER_API ?? "http://127.0.0.1:9180";

export default defineConfig({
  plugins: [react()],
  server: { proxy: { "/api": { target: api, secure: false } } },
  build: {
    target: "es2022",
    // The content security policy forbids data: URIs, so nothing is inlined.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 700,
  },
  test: {
    environment: "jsdom",
    include: ["src/**/*.test.{ts,tsx}"],
    restoreMocks: true,
  },
});
