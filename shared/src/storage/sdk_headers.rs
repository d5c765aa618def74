//! Leaves out the headers in which the SDK describes itself.

use aws_runtime::invocation_id::InvocationIdInterceptor;
use aws_runtime::request_info::RequestInfoInterceptor;
use aws_runtime::user_agent::UserAgentInterceptor;
use aws_sdk_dynamodb::config::interceptors::BeforeSerializationInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept};
use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_runtime_api::client::interceptors::disable_interceptor;

/// The name of this product in `User-Agent`. AWS shows it in CloudTrail.
pub(super) const USER_AGENT: &str = concat!("trueppm/", env!("CARGO_PKG_VERSION"));

/// Turns off `x-amz-user-agent`, `amz-sdk-invocation-id` and `amz-sdk-request`, and the SDK's long `User-Agent`.
///
/// DynamoDB does not need them: they tell AWS the versions and features of the SDK, and the number of the attempt. To make and
/// sign them takes a twentieth of the CPU of a pull of nothing (infra/docs/measurements.md).
#[derive(Debug)]
pub(super) struct OmitSdkHeaders;

impl Intercept for OmitSdkHeaders {
    fn name(&self) -> &'static str {
        "OmitSdkHeaders"
    }

    fn read_before_execution(
        &self,
        _context: &BeforeSerializationInterceptorContextRef<'_>,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        const CAUSE: &str = "DynamoDB does not need them";
        let state = config.interceptor_state();
        state.store_put(disable_interceptor::<UserAgentInterceptor>(CAUSE));
        state.store_put(disable_interceptor::<InvocationIdInterceptor>(CAUSE));
        state.store_put(disable_interceptor::<RequestInfoInterceptor>(CAUSE));
        Ok(())
    }
}
