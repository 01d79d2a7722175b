"""Pieces that pages share. Each is a pure function from data to a Dash component or a Plotly figure."""
