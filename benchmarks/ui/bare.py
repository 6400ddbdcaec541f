"""The smallest Streamlit page with a chart: `streamlit run` of it is what a page of ours is held against, cold."""

import plotly.graph_objects as go
import streamlit as st

st.title("One chart")
st.plotly_chart(go.Figure(go.Scatter(y=[(place * 37) % 11 for place in range(365)])))
