"""Ministack with three faults corrected. It ignores an HTTP API's Body, where SAM puts the routes. It does not know the
resource for route responses of a WebSocket API, and sends them anyway. And each event of a connection has another time of
connecting. This file also removes a pause of 40 ms before functions are answered.

Runs in ministack's own virtual environment.
"""

import socketserver

from ministack import app
from ministack.services import apigateway
from ministack.services.cloudformation import provisioners


def make_routes(api, body):
    """Replaces the routes and integrations of an API by those that its Body describes."""
    apigateway._routes[api], apigateway._integrations[api] = {}, {}
    for path, methods in body["paths"].items():
        for method, operation in methods.items():
            integration = operation["x-amazon-apigateway-integration"]
            described = {
                "ApiId": api,
                "IntegrationType": integration["type"].upper(),
                "IntegrationUri": integration["uri"],
                "IntegrationMethod": integration["httpMethod"],
                "PayloadFormatVersion": integration["payloadFormatVersion"],
            }
            target, _ = provisioners._apigw_v2_integration_create("", described, "")
            method = "ANY" if method == "x-amazon-apigateway-any-method" else method.upper()
            route = {"ApiId": api, "RouteKey": f"{method} {path}", "Target": f"integrations/{target}"}
            provisioners._apigw_v2_route_create("", route, "")


provisioner = provisioners._RESOURCE_HANDLERS["AWS::ApiGatewayV2::Api"]
create, update = provisioner["create"], provisioner["update"]


def create_with_routes(logical_id, properties, stack):
    api, attributes = create(logical_id, properties, stack)
    if "Body" in properties:
        make_routes(api, properties["Body"])
    return api, attributes


def update_with_routes(api, old, new, stack, logical_id=None):
    api, attributes = update(api, old, new, stack, logical_id)
    if "Body" in new:
        make_routes(api, new["Body"])
    return api, attributes


make_context, connected = apigateway._ws_request_context, {}


def context_of_one_connection(api, route_key, stage, connection, *others):
    context = make_context(api, route_key, stage, connection, *others)
    context["connectedAt"] = connected.setdefault(connection, context["connectedAt"])
    return context


def create_route_response(logical_id, properties, stack):
    route = apigateway._routes[properties["ApiId"]][properties["RouteId"].split("/")[-1]]  # ministack puts the API before it
    assert route.get("routeResponseSelectionExpression") == "$default", f"{logical_id}: its route selects no response"
    return f"{logical_id}-response", {}


provisioner["create"], provisioner["update"] = create_with_routes, update_with_routes
provisioners._RESOURCE_HANDLERS["AWS::ApiGatewayV2::RouteResponse"] = {
    "create": create_route_response,
    "delete": lambda response, properties: None,
}
apigateway._ws_request_context = context_of_one_connection
# An event's headers and body are two writes. The second one must not wait for the acknowledgement of the first.
socketserver.StreamRequestHandler.disable_nagle_algorithm = True
app.main()
