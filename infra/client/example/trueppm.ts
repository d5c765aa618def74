// In your app this file is the copy of infra/api/trueppm.ts.
export * from '../../api/trueppm'
